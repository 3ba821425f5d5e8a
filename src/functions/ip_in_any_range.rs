//! `ip_in_any_range(ip, networks)`: KQL's `ipv4_is_in_any_range` and `ipv6_is_in_any_range` for lists of networks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use ipnet::IpNet;

/// The name of the function in SQL.
pub(crate) const IP_IN_ANY_RANGE: &str = "ip_in_any_range";

/// Whether an address lies in one of the networks of a list (`10.0.0.0/8`, `2001:db8::/32`; a bare address is a network of
/// its own). An IPv4 address is the IPv6 address that it is mapped to, as in KQL's function for IPv6; a port or zone
/// behind an address says nothing. Text that is no address lies in no network, where KQL gives null: so `NOT
/// ip_in_any_range(…)` keeps its row. Null gives null. A network that is none is an error.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct IpInAnyRange {
    signature: Signature,
}

impl IpInAnyRange {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for IpInAnyRange {
    fn name(&self) -> &str {
        IP_IN_ANY_RANGE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [ip, networks] = types else {
            return plan_err!("ip_in_any_range takes (ip, networks), not {} arguments", types.len());
        };
        let ip = match ip {
            DataType::Dictionary(_, value) if value.is_string() => ip.clone(),
            DataType::Null => DataType::Utf8,
            text if text.is_string() => text.clone(),
            other => return plan_err!("ip_in_any_range takes text as ip, not {other}"),
        };
        if !matches!(networks, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)) {
            return plan_err!("ip_in_any_range takes a list of networks, such as ['10.0.0.0/8'], not {networks}");
        }
        Ok(vec![ip, DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [ip, ColumnarValue::Scalar(ScalarValue::List(networks))] = args.args.as_slice() else {
            return exec_err!("ip_in_any_range takes one list of networks for all rows");
        };
        if networks.is_null(0) {
            return exec_err!("ip_in_any_range takes a list of networks, not null");
        }
        let networks = networks.value(0);
        let ranges = Ranges::parse(networks.as_string::<i32>().iter().map(Option::unwrap_or_default))
            .or_else(|wrong| exec_err!("ip_in_any_range: {wrong}"))?;
        Ok(match ip {
            ColumnarValue::Scalar(ip) => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&ranges.hold(&ip.to_array()?)?, 0)?)
            }
            ColumnarValue::Array(ips) => ColumnarValue::Array(ranges.hold(ips)?),
        })
    }
}

/// Says what is wrong with the first of `networks` that is none.
pub(crate) fn check_networks<'a>(networks: impl Iterator<Item = &'a str>) -> Result<(), String> {
    Ranges::parse(networks).map(|_| ())
}

/// Networks as first and last address, in order and without overlap.
#[derive(Debug)]
struct Ranges(Vec<(u128, u128)>);

impl Ranges {
    fn parse<'a>(networks: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut all = networks.map(range).collect::<Result<Vec<_>, _>>()?;
        all.sort_unstable();
        // Ranges in order, each beginning behind the end of the one before, have one candidate for each address.
        let mut apart: Vec<(u128, u128)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match apart.last_mut() {
                Some(before) if first <= before.1 => before.1 = before.1.max(last),
                _ => apart.push((first, last)),
            }
        }
        Ok(Self(apart))
    }

    /// Of each text; of a dictionary each value is looked at once.
    fn hold(&self, ips: &ArrayRef) -> Result<ArrayRef> {
        if let Some(dictionary) = ips.as_any_dictionary_opt() {
            return Ok(take(&self.hold(dictionary.values())?, dictionary.keys(), None)?);
        }
        let ips = cast(ips, &DataType::Utf8View)?;
        let held: BooleanArray = ips.as_string_view().iter().map(|ip| Some(self.holds(ip?))).collect();
        Ok(Arc::new(held))
    }

    fn holds(&self, ip: &str) -> bool {
        let Some(ip) = address(ip).map(number) else { return false };
        let after = self.0.partition_point(|(first, _)| *first <= ip);
        after.checked_sub(1).is_some_and(|index| ip <= self.0[index].1)
    }
}

fn range(text: &str) -> Result<(u128, u128), String> {
    let trimmed = text.trim();
    let network = trimmed.parse::<IpNet>().or_else(|_| trimmed.parse::<IpAddr>().map(IpNet::from));
    let network = network.map_err(|_| format!("`{text}` is no network; write one as 10.0.0.0/8 or 2001:db8::/32"))?;
    Ok((number(network.network()), number(network.broadcast())))
}

/// The address in a text, which may have a port (`10.0.0.1:443`, `[::1]:443`) or a zone (`fe80::1%2`).
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let plain = || text.parse().ok();
    let zone = || text.split_once('%').and_then(|(ip, _)| ip.parse().ok()).filter(IpAddr::is_ipv6);
    let port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    plain().or_else(zone).or_else(port)
}

/// The bits of an IPv6 address; of an IPv4 one those of the IPv6 address that it is mapped to.
fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{DictionaryArray, StringArray};
    use datafusion::arrow::datatypes::Int32Type;

    use super::*;

    fn held(networks: &[&str], ip: &str) -> bool {
        Ranges::parse(networks.iter().copied()).unwrap().holds(ip)
    }

    #[test]
    fn both_ends_of_a_network_belong_to_it() {
        for (ip, expected) in [("10.1.0.0", true), ("10.1.255.255", true), ("10.0.255.255", false), ("10.2.0.0", false)]
        {
            // What lies behind the prefix does not count.
            assert_eq!(held(&["10.1.2.3/16"], ip), expected, "{ip}");
        }
        assert!(held(&["2001:db8::/32"], "2001:DB8:ffff::1") && !held(&["2001:db8::/32"], "2001:db9::"));
        assert!(held(&["0.0.0.0/0"], "255.255.255.255") && !held(&["0.0.0.0/0"], "::1"));
        assert!(held(&["::/0"], "10.0.0.1") && !held(&[], "10.0.0.1"));
    }

    #[test]
    fn nested_and_neighbouring_networks_hide_nothing() {
        let networks = ["10.0.1.0/24", "10.0.0.0/8", "10.0.2.9", "11.0.0.0/8", "192.168.0.1"];
        for (ip, expected) in [("10.200.0.1", true), ("11.0.0.0", true), ("12.0.0.0", false), ("192.168.0.2", false)] {
            assert_eq!(held(&networks, ip), expected, "{ip}");
        }
    }

    #[test]
    fn mapped_addresses_ports_and_zones_are_the_address() {
        for ip in ["::ffff:10.0.0.1", "10.0.0.1:443", "[::ffff:10.0.0.1]:443", " 10.0.0.1"] {
            assert!(held(&["10.0.0.1"], ip) && held(&["::ffff:10.0.0.0/104"], ip), "{ip}");
        }
        assert!(held(&["fe80::/10"], "fe80::1%eth0") && held(&["fe80::/10"], "[fe80::1%2]:443"));
        for ip in ["", "-", "10.0.0", "10.0.0.1/8", "010.0.0.1", "10.0.0.1%2", "localhost"] {
            assert!(!held(&["0.0.0.0/0", "::/0"], ip), "{ip}");
        }
    }

    #[test]
    fn what_is_no_network_is_named() {
        for network in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "office"] {
            let error = Ranges::parse(["10.0.0.0/8", network].into_iter()).unwrap_err();
            assert!(error.contains(&format!("`{network}`")), "{error}");
        }
    }

    #[test]
    fn a_dictionary_answers_as_its_values_do() {
        let texts = [Some("10.0.0.1"), None, Some("11.0.0.1"), Some("10.0.0.1")];
        let dictionary: DictionaryArray<Int32Type> = texts.into_iter().collect();
        let ranges = Ranges::parse(["10.0.0.0/8"].into_iter()).unwrap();
        for ips in [Arc::new(dictionary) as ArrayRef, Arc::new(StringArray::from_iter(texts))] {
            let held: Vec<_> = ranges.hold(&ips).unwrap().as_boolean().iter().collect();
            assert_eq!(held, [Some(true), None, Some(false), Some(true)]);
        }
    }
}
