//! The keystore of Logstash.

use keystore::Keystore;

/// Derivations that end within a moment.
const ITERATIONS_MAX: u32 = 10_000;

/// A file of any bytes is refused or opens, and what it holds comes back from what is written.
pub fn file(data: &[u8]) {
    for password in [None, Some("changeme")] {
        let Ok(store) = Keystore::open_within(data, password, ITERATIONS_MAX) else { continue };
        // It may have been as large as one can be, without a checksum.
        let Ok(written) = store.to_bytes(&mut |bytes| bytes.fill(7)) else { continue };
        let again =
            Keystore::open_within(&written, password, ITERATIONS_MAX).expect("what was written opens");
        assert_eq!(again.names(), store.names());
        for name in store.names() {
            assert_eq!(again.get(name), store.get(name));
        }
    }
}
