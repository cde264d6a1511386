//! Arithmetic in GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1 (RFC 5510 8.1). Knows bytes.

/// Products of all pairs.
static PRODUCTS: [[u8; 256]; 256] = products();

/// The inverse of each element but 0.
static INVERSES: [u8; 256] = inverses();

/// A product.
pub(super) fn multiply(one: u8, other: u8) -> u8 {
    PRODUCTS[usize::from(one)][usize::from(other)]
}

/// The inverse of an element that is not 0.
pub(super) fn invert(element: u8) -> u8 {
    debug_assert!(element != 0);
    INVERSES[usize::from(element)]
}

/// Adds `factor` times `bytes` to `sum`, which grows if it is shorter.
pub(super) fn add_multiple(sum: &mut Vec<u8>, bytes: &[u8], factor: u8) {
    if sum.len() < bytes.len() {
        sum.resize(bytes.len(), 0);
    }
    if factor == 1 {
        for (sum, byte) in sum.iter_mut().zip(bytes) {
            *sum ^= byte;
        }
        return;
    }
    let row = &PRODUCTS[usize::from(factor)];
    for (sum, byte) in sum.iter_mut().zip(bytes) {
        *sum ^= row[usize::from(*byte)];
    }
}

/// Multiplies all bytes.
pub(super) fn scale(bytes: &mut [u8], factor: u8) {
    let row = &PRODUCTS[usize::from(factor)];
    for byte in bytes {
        *byte = row[usize::from(*byte)];
    }
}

const fn slow_multiply(one: u8, other: u8) -> u8 {
    let (mut one, mut other, mut product) = (one, other, 0);
    while other != 0 {
        if other & 1 != 0 {
            product ^= one;
        }
        let is_carried = one & 0x80 != 0;
        one <<= 1;
        if is_carried {
            one ^= 0x1d;
        }
        other >>= 1;
    }
    product
}

const fn products() -> [[u8; 256]; 256] {
    let mut table = [[0; 256]; 256];
    let mut one = 0;
    while one < 256 {
        let mut bit = 0;
        // A row is linear, so eight products give all of it.
        while bit < 8 {
            let product = slow_multiply(one as u8, 1 << bit);
            let mut low = 0;
            while low < 1 << bit {
                table[one][(1 << bit) + low] = table[one][low] ^ product;
                low += 1;
            }
            bit += 1;
        }
        one += 1;
    }
    table
}

const fn inverses() -> [u8; 256] {
    let table = products();
    let mut inverses = [0; 256];
    let mut one = 1;
    while one < 256 {
        let mut other = 1;
        while other < 256 {
            if table[one][other] == 1 {
                inverses[one] = other as u8;
            }
            other += 1;
        }
        one += 1;
    }
    inverses
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_element_has_an_inverse() {
        for element in 1..=255 {
            assert_eq!(multiply(element, invert(element)), 1);
        }
    }

    proptest! {
        #[test]
        fn it_is_a_field(a: u8, b: u8, c: u8) {
            prop_assert_eq!(multiply(a, b), slow_multiply(a, b));
            prop_assert_eq!(multiply(a, b), multiply(b, a));
            prop_assert_eq!(multiply(multiply(a, b), c), multiply(a, multiply(b, c)));
            prop_assert_eq!(multiply(a, b ^ c), multiply(a, b) ^ multiply(a, c));
        }

        #[test]
        fn a_multiple_added_twice_is_gone(
            sum in proptest::collection::vec(any::<u8>(), 0..40),
            bytes in proptest::collection::vec(any::<u8>(), 0..40), factor in 1u8..,
        ) {
            let mut changed = sum.clone();
            add_multiple(&mut changed, &bytes, factor);
            let mut scaled = bytes.clone();
            scale(&mut scaled, factor);
            add_multiple(&mut changed, &scaled, 1);
            prop_assert_eq!(&changed[..sum.len()], &sum[..]);
            prop_assert!(changed[sum.len()..].iter().all(|byte| *byte == 0));
        }
    }
}
