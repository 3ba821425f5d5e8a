//! Drawing that gives the same values on every platform.
//!
//! `powf`, `ln` and `exp` of the standard library may differ in the last bit between platforms, and one bit shifts
//! everything that is drawn after it. Here only the four operations of IEEE 754 are used, which may not.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What a stream of random numbers is for; streams of one day do not touch each other.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    Attacks = 1,
    Traffic = 2,
    Shuffle = 3,
}

/// The stream of a day.
pub(super) fn stream(seed: u64, day: u32, stream: Stream) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..12].copy_from_slice(&day.to_le_bytes());
    key[12] = stream as u8;
    ChaCha8Rng::from_seed(key)
}

/// A number below `n`; 0 where `n` is 0. The bias of less than `n / 2^32` does not matter here.
pub(super) fn below(rng: &mut ChaCha8Rng, n: u32) -> u32 {
    ((u64::from(rng.next_u32()) * u64::from(n)) >> 32) as u32
}

/// A share of all draws.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chance(u64);

impl Chance {
    /// `share` in 0 to 1.
    pub(super) fn new(share: f64) -> Self {
        Self((share * (1u64 << 32) as f64) as u64)
    }

    pub(super) fn draw(self, rng: &mut ChaCha8Rng) -> bool {
        self.0 != 0 && u64::from(rng.next_u32()) < self.0
    }
}

/// Indices drawn by weight, in constant time (Walker's alias method).
#[derive(Debug, Clone)]
pub(super) struct Weighted {
    /// Per index: keep it if a draw of 32 bits is below this, else take the other.
    slots: Vec<(u32, u32)>,
}

impl Weighted {
    /// `n` indices by Zipf's law: the weight of index `i` is `(i + 1)^-exponent`.
    pub(super) fn zipf(n: u32, exponent: f64) -> Self {
        let weights: Vec<f64> = (1..=n).map(|rank| exp(-exponent * ln(f64::from(rank)))).collect();
        Self::new(&weights)
    }

    /// One index a weight; weights are finite, not negative and not all 0.
    pub(super) fn new(weights: &[f64]) -> Self {
        let n = weights.len();
        let sum: f64 = weights.iter().sum();
        let mut rest: Vec<f64> = weights.iter().map(|w| w / sum * n as f64).collect();
        let mut slots: Vec<(u32, u32)> = (0..n as u32).map(|i| (u32::MAX, i)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..n).partition(|&i| rest[i] < 1.0);
        while let (Some(&poor), Some(&rich)) = (small.last(), large.last()) {
            small.pop();
            slots[poor] = ((rest[poor] * u32::MAX as f64) as u32, rich as u32);
            rest[rich] -= 1.0 - rest[poor];
            if rest[rich] < 1.0 {
                large.pop();
                small.push(rich);
            }
        }
        Self { slots }
    }

    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> u32 {
        let index = below(rng, self.slots.len() as u32);
        let (keep, other) = self.slots[index as usize];
        if rng.next_u32() < keep { index } else { other }
    }
}

/// Scatters the bits of a number; equal numbers give equal results.
pub(super) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Natural logarithm of a number of at least 1.
fn ln(x: f64) -> f64 {
    let mut exponent = 0.0;
    let mut mantissa = x;
    while mantissa >= 2.0 {
        mantissa /= 2.0;
        exponent += 1.0;
    }
    // ln m = 2 artanh((m - 1) / (m + 1))
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let mut power = z;
    let mut sum = 0.0;
    for k in 0..20 {
        sum += power / f64::from(2 * k + 1);
        power *= z * z;
    }
    2.0 * sum + exponent * std::f64::consts::LN_2
}

/// The exponential of a number of at most 0.
fn exp(x: f64) -> f64 {
    let mut rest = x;
    let mut scale = 1.0;
    while rest < -std::f64::consts::LN_2 {
        rest += std::f64::consts::LN_2;
        scale /= 2.0;
    }
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..20 {
        term *= rest / f64::from(k);
        sum += term;
    }
    sum * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_the_standard_library() {
        for rank in [1.0, 2.0, 3.0, 17.0, 1_000.0, 3_999_999.0_f64] {
            for exponent in [0.0, 0.5, 1.0, 2.5, 10.0] {
                let ours = exp(-exponent * ln(rank));
                let theirs = rank.powf(-exponent);
                assert!((ours / theirs - 1.0).abs() < 1e-9, "{rank}^-{exponent}");
            }
        }
    }

    #[test]
    fn draws_follow_the_weights() {
        let mut rng = stream(1, 0, Stream::Traffic);
        let weighted = Weighted::new(&[4.0, 0.0, 1.0, 5.0]);
        let mut counts = [0u32; 4];
        for _ in 0..100_000 {
            counts[weighted.draw(&mut rng) as usize] += 1;
        }
        assert_eq!(counts[1], 0);
        for (count, share) in counts.iter().zip([0.4, 0.0, 0.1, 0.5]) {
            assert!((f64::from(*count) / 100_000.0 - share).abs() < 0.01);
        }
    }
}
