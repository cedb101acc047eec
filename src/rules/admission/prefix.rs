//! What of an address stands for one household: limits by address count for all of it.

use std::net::IpAddr;

use ipnet::IpNet;

/// How many bits of an address stand for one household.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixes {
    /// Of an IPv4 address.
    pub v4: u8,
    /// Of an IPv6 address: providers give a household a /56, and it changes the rest at will (RFC 6177 §2, RFC 8981).
    pub v6: u8,
}

impl Default for Prefixes {
    fn default() -> Self {
        Self { v4: 32, v6: 56 }
    }
}

impl Prefixes {
    /// The prefix that an address belongs to. An IPv4 address in IPv6's form (RFC 4291 §2.5.5.2) is one of IPv4.
    pub fn of(self, address: IpAddr) -> IpNet {
        let address = address.to_canonical();
        let length = if address.is_ipv4() { self.v4.min(32) } else { self.v6.min(128) };
        IpNet::new(address, length).expect("the length is within the family's").trunc()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_household_is_one_whichever_of_its_addresses_it_uses() {
        let prefixes = Prefixes::default();
        let of = |text: &str| prefixes.of(text.parse().unwrap()).to_string();
        assert_eq!(of("203.0.113.7"), "203.0.113.7/32");
        assert_eq!(of("::ffff:203.0.113.7"), "203.0.113.7/32");
        assert_eq!(of("2001:db8:0:aa01::1"), of("2001:db8:0:aaff:ffff::2"));
        assert_ne!(of("2001:db8:0:aa01::1"), of("2001:db8:0:ab01::1"));
        assert_eq!(Prefixes { v4: 24, v6: 48 }.of("203.0.113.7".parse().unwrap()).to_string(), "203.0.113.0/24");
    }
}
