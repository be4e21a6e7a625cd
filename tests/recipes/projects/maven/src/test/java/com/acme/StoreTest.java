package com.acme;

import org.junit.BeforeClass;
import org.junit.Test;

public class StoreTest {
    @BeforeClass public static void open() {
        if (System.getenv("NO_SETUP") != null) throw new IllegalStateException("no database");
    }

    @Test public void reads() {
        if (System.getenv("DIES") != null) Runtime.getRuntime().halt(1);
    }

    @Test public void writes() {}
}
