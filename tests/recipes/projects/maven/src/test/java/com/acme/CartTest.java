package com.acme;

import static org.junit.Assert.assertEquals;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.junit.Test;

public class CartTest {
    /** Fails as often as FAILURES says, counted in a file. */
    @Test public void pays() throws Exception {
        Path counter = Path.of(System.getenv("COUNTER"));
        int seen = Files.exists(counter) ? Integer.parseInt(Files.readString(counter)) : 0;
        Files.writeString(counter, String.valueOf(seen + 1));
        int failures = Integer.parseInt(System.getenv().getOrDefault("FAILURES", "0"));
        Callable<Object> pay = () -> {
            if (seen < failures) throw new IllegalStateException("no answer of " + new Object());
            return null;
        };
        pay.call();
    }

    @Test public void adds() { assertEquals(2, 1 + 1); }

    @Test public void ships() { assertEquals(3, System.getenv("BROKEN") == null ? 3 : 4); }

    @Test(timeout = 300) public void waits() throws Exception {
        if (System.getenv("SLOW") != null) Thread.sleep(5000);
    }
}
