package cart

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// Fails as often as FAILURES says, counted in a file.
func TestPays(t *testing.T) {
	body, _ := os.ReadFile(os.Getenv("COUNTER"))
	seen, _ := strconv.Atoi(string(body))
	os.WriteFile(os.Getenv("COUNTER"), []byte(strconv.Itoa(seen+1)), 0o644)
	failures, _ := strconv.Atoi(os.Getenv("FAILURES"))
	if seen < failures {
		time.Sleep(time.Duration(15*seen) * time.Millisecond)
		t.Fatalf("no answer of %p", t)
	}
}

func TestAdds(t *testing.T) {}

func TestShips(t *testing.T) {
	t.Run("abroad", func(t *testing.T) {
		if os.Getenv("BROKEN") != "" {
			t.Errorf("got 4, want 3")
		}
	})
}
