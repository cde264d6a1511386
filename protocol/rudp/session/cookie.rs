//! Cookies: proof that an initiator receives at its address, without state here (RFC 9000 8.1.2,
//! DTLS in RFC 6347 4.2.1). Knows no session.

use std::net::{IpAddr, SocketAddr};

use ring::hmac;

use crate::crypto::{MAC_BYTES, RANDOM_BYTES, code, is_same};
use crate::time::{SECOND, Time};
use crate::wire::hello::{COOKIE_BYTES, Side};

/// How long a cookie is good: several times what a handshake takes on any path.
const LIFETIME_NS: u64 = 5 * SECOND;

/// Makes cookies and knows its own again.
#[derive(Debug)]
pub(crate) struct CookieJar {
    key: hmac::Key,
}

impl CookieJar {
    /// With a secret of this process alone.
    pub fn new(secret: &[u8; RANDOM_BYTES]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    /// A cookie for who said HELLO from this address.
    pub fn bake(&self, now: Time, from: SocketAddr, side: &Side) -> [u8; COOKIE_BYTES] {
        let mut cookie = [0; COOKIE_BYTES];
        let (time, mac) = cookie.split_at_mut(COOKIE_BYTES - MAC_BYTES);
        time.copy_from_slice(&now.nanos().to_le_bytes());
        mac.copy_from_slice(&self.code(time, from, side));
        cookie
    }

    /// Whether this cookie was made here, of late, for the same HELLO from the same address.
    pub fn is_good(
        &self,
        now: Time,
        from: SocketAddr,
        side: &Side,
        cookie: &[u8; COOKIE_BYTES],
    ) -> bool {
        let (time, mac) = cookie.split_last_chunk().expect("a cookie is longer");
        let baked = Time(u64::from_le_bytes(*time.first_chunk().expect("eight bytes of time")));
        is_same(&self.code(time, from, side), mac)
            && baked <= now
            && now.nanos_since(baked) <= LIFETIME_NS
    }

    fn code(&self, time: &[u8], from: SocketAddr, side: &Side) -> [u8; MAC_BYTES] {
        let ip = match from.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        let (port, boot) = (from.port().to_le_bytes(), side.boot.0.to_le_bytes());
        code(&self.key, &[time, &ip, &port, &boot, &side.random])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::BootId;

    fn side(random: u8) -> Side {
        Side {
            boot: BootId(1),
            connection: 1,
            window: 1,
            datagram_bytes_max: 1200,
            random: [random; RANDOM_BYTES],
        }
    }

    #[test]
    fn a_cookie_is_good_for_its_address_hello_and_time_only() {
        let jar = CookieJar::new(&[3; 32]);
        let here: SocketAddr = "10.0.0.1:7".parse().unwrap();
        let cookie = jar.bake(Time(1_000), here, &side(1));
        assert!(jar.is_good(Time(1_000), here, &side(1), &cookie));
        assert!(jar.is_good(Time(1_000 + LIFETIME_NS), here, &side(1), &cookie));
        assert!(!jar.is_good(Time(1_001 + LIFETIME_NS), here, &side(1), &cookie));
        assert!(!jar.is_good(Time(999), here, &side(1), &cookie));
        assert!(!jar.is_good(Time(1_000), "10.0.0.1:8".parse().unwrap(), &side(1), &cookie));
        assert!(!jar.is_good(Time(1_000), "10.0.0.2:7".parse().unwrap(), &side(1), &cookie));
        assert!(!jar.is_good(Time(1_000), here, &side(2), &cookie));
        assert!(!CookieJar::new(&[4; 32]).is_good(Time(1_000), here, &side(1), &cookie));
    }
}
