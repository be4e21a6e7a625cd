package store

import (
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv("NO_SETUP") != "" {
		println("no database")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestReads(t *testing.T) {
	if os.Getenv("DIES") != "" {
		var orders map[string]int
		orders["one"] = 1
	}
	if os.Getenv("EXITS") != "" {
		os.Exit(1)
	}
}

func TestWaits(t *testing.T) {
	if os.Getenv("SLOW") != "" {
		time.Sleep(time.Minute)
	}
}
