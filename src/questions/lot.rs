//! The lot of a question: random bytes that anyone can check afterwards.
//!
//! They are drawn when the question is asked. Their hash, the commitment, is shown from then on, so
//! that nobody can choose them later. The order in which the choices are drawn depends on the bytes
//! and on the votes, which nobody knows beforehand.

use std::fmt;
use std::str::FromStr;

use sea_orm::DeriveValueType;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::tally::Lot;

/// The random bytes. As text, and in the database, they are hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, DeriveValueType)]
#[sea_orm(value_type = "String")]
pub struct Seed([u8; 32]);

impl Seed {
    pub fn draw() -> Seed {
        Seed(rand::random())
    }

    /// The SHA-256 of the seed, in hexadecimal digits.
    pub fn commitment(&self) -> String {
        format!("{:x}", Hex(&Sha256::digest(self.0)))
    }

    /// The lot for choices with these ids and votes.
    pub fn lot(&self, choices: &[(Uuid, i64)]) -> Lot {
        Lot::from_order(&self.order(choices))
    }

    /// The positions of choices with these ids and votes in the order of the lot: they are drawn in
    /// the ascending order of the SHA-256 of the seed, then for each choice in the order of ids its id
    /// and its votes (8 bytes, big-endian), then the id of the choice in question.
    pub fn order(&self, choices: &[(Uuid, i64)]) -> Vec<usize> {
        let mut all = choices.to_vec();
        all.sort_unstable();
        let mut votes = Sha256::new_with_prefix(self.0);
        for (id, count) in all {
            votes.update(id.as_bytes());
            votes.update(count.to_be_bytes());
        }
        let drawn = |id: &Uuid| votes.clone().chain_update(id.as_bytes()).finalize();
        let mut order: Vec<usize> = (0..choices.len()).collect();
        order.sort_by_cached_key(|position| drawn(&choices[*position].0).to_vec());
        order
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::LowerHex for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", Hex(&self.0))
    }
}

/// Logs must not tell the seed.
impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// A text that is not a seed.
#[derive(Debug, thiserror::Error)]
#[error("the seed of a lot has 64 hexadecimal digits")]
pub struct NoSeed;

impl FromStr for Seed {
    type Err = NoSeed;

    fn from_str(text: &str) -> Result<Seed, NoSeed> {
        let mut seed = [0; 32];
        let pairs = text.as_bytes().chunks(2);
        if text.len() != 64 {
            return Err(NoSeed);
        }
        for (byte, pair) in seed.iter_mut().zip(pairs) {
            let pair = std::str::from_utf8(pair).map_err(|_| NoSeed)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NoSeed)?;
        }
        Ok(Seed(seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_read_as_it_is_written() {
        let seed = Seed::draw();
        assert_eq!(seed.to_string().parse::<Seed>().unwrap(), seed);
        assert!("00".parse::<Seed>().is_err() && "zz".repeat(32).parse::<Seed>().is_err());
        assert!(!format!("{seed:?}").contains(&seed.to_string()));
    }

    #[test]
    fn votes_change_the_lot() {
        let seed: Seed = "00".repeat(32).parse().unwrap();
        assert_eq!(
            seed.commitment(),
            "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925"
        );
        let ids = [1, 2, 3, 4, 5].map(Uuid::from_u128);
        let lots = (0..20).map(|votes| seed.lot(&ids.map(|id| (id, votes))));
        let lots: Vec<Lot> = lots.collect();
        assert!(lots.iter().any(|lot| *lot != lots[0]));
    }
}
