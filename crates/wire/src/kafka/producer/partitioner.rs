//! Which partition a record goes to.

/// The rule for records that do not name their partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Partitioner {
    /// By the murmur2 hash of the key as in Java, without a key as [`Sticky`](Self::Sticky): the
    /// default of Kafka's own client.
    #[default]
    Murmur2,
    /// By the murmur2 hash of the key, without a key by chance: librdkafka's `murmur2_random`.
    Murmur2Random,
    /// By the CRC-32 of the key, and of nothing without a key: librdkafka's `consistent`.
    Consistent,
    /// By the CRC-32 of the key, without a key or with an empty one by chance: librdkafka's
    /// default `consistent_random`.
    ConsistentRandom,
    /// By chance, whatever the key.
    Random,
    /// One after another, whatever the key.
    RoundRobin,
    /// One until it was given a batch's bytes, then another by chance, whatever the key
    /// (KIP-480, KIP-794): fewer and fuller batches than with the two above.
    Sticky,
}

/// What the rule says about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// This one, whether it has a leader or not.
    Partition(usize),
    Random,
    RoundRobin,
    Sticky,
}

impl Partitioner {
    /// `count` is the number of partitions, at least one.
    pub(super) fn choose(self, key: Option<&[u8]>, count: usize) -> Choice {
        match (self, key) {
            (Partitioner::Murmur2 | Partitioner::Murmur2Random, Some(key)) => {
                Choice::Partition((murmur2(key) & 0x7fff_ffff) as usize % count)
            }
            (Partitioner::ConsistentRandom, None | Some([])) => Choice::Random,
            (Partitioner::Consistent | Partitioner::ConsistentRandom, key) => {
                Choice::Partition(crc32(key.unwrap_or_default()) as usize % count)
            }
            (Partitioner::Murmur2 | Partitioner::Sticky, _) => Choice::Sticky,
            (Partitioner::Murmur2Random | Partitioner::Random, _) => Choice::Random,
            (Partitioner::RoundRobin, _) => Choice::RoundRobin,
        }
    }
}

/// MurmurHash2 of 32 bits with Kafka's seed (`org.apache.kafka.common.utils.Utils.murmur2`).
pub fn murmur2(key: &[u8]) -> u32 {
    const MULTIPLIER: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        word ^= word >> 24;
        hash = hash.wrapping_mul(MULTIPLIER) ^ word.wrapping_mul(MULTIPLIER);
    }
    if !tail.is_empty() {
        for (at, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

fn crc32(key: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(key);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of `UtilsTest.testMurmur2` in Kafka's own client.
    #[test]
    fn murmur2_as_in_java() {
        for (key, hash) in [
            ("21", -973_932_308i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn each_rule_chooses_its_way() {
        use Choice::{Partition, Random, RoundRobin, Sticky};
        // murmur2("foobar") without its sign is 1357151166; CRC-32 of "123456789" is cbf43926.
        for (rule, key, choice) in [
            (Partitioner::Murmur2, Some("foobar"), Partition(1_357_151_166 % 7)),
            (Partitioner::Murmur2, Some(""), Partition((0x106e_08d9 & 0x7fff_ffff) % 7)),
            (Partitioner::Murmur2, None, Sticky),
            (Partitioner::Murmur2Random, Some("foobar"), Partition(1_357_151_166 % 7)),
            (Partitioner::Murmur2Random, None, Random),
            (Partitioner::Consistent, Some("123456789"), Partition(0xcbf4_3926 % 7)),
            (Partitioner::Consistent, None, Partition(0)),
            (Partitioner::ConsistentRandom, Some("123456789"), Partition(0xcbf4_3926 % 7)),
            (Partitioner::ConsistentRandom, Some(""), Random),
            (Partitioner::ConsistentRandom, None, Random),
            (Partitioner::Random, Some("foobar"), Random),
            (Partitioner::RoundRobin, Some("foobar"), RoundRobin),
            (Partitioner::Sticky, Some("foobar"), Sticky),
        ] {
            assert_eq!(rule.choose(key.map(str::as_bytes), 7), choice, "{rule:?} {key:?}");
        }
    }
}
