package com.acme;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CartTest {
    /** Fails as often as FAILURES says, counted in a file. */
    @Test void pays() throws Exception {
        Path counter = Path.of(System.getenv("COUNTER"));
        int seen = Files.exists(counter) ? Integer.parseInt(Files.readString(counter)) : 0;
        Files.writeString(counter, String.valueOf(seen + 1));
        int failures = Integer.parseInt(System.getenv().getOrDefault("FAILURES", "0"));
        if (seen < failures) throw new IllegalStateException("no answer of " + new Object());
    }

    @ParameterizedTest @ValueSource(strings = {"usd", "eur"}) void totals(String currency) {
        assertEquals(3, currency.length());
    }

    @Nested class Abroad {
        @Test void ships() { assertEquals(3, System.getenv("BROKEN") == null ? 3 : 4); }
    }
}
