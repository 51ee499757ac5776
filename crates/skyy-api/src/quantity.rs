//! Kubernetes quantities as bytes.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A quantity that is not a whole, positive number of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size: write a number with Ki, Mi, Gi or Ti (or k, M, G, T), such as 32Gi")]
pub struct QuantityError(String);

/// The number of bytes that a quantity such as `32Gi`, `1.5G` or `4096` stands for.
pub fn bytes(quantity: &Quantity) -> Result<u64, QuantityError> {
    let text = quantity.0.trim();
    let wrong = || QuantityError(quantity.0.clone());
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: u128 = match unit {
        "" => 1,
        "k" => 1000,
        "M" => 1000_u128.pow(2),
        "G" => 1000_u128.pow(3),
        "T" => 1000_u128.pow(4),
        "P" => 1000_u128.pow(5),
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "Pi" => 1 << 50,
        _ => return Err(wrong()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 || fraction.contains('.') {
        return Err(wrong());
    }
    let parse =
        |digits: &str| if digits.is_empty() { Ok(0) } else { digits.parse::<u128>().map_err(|_| wrong()) };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| wrong())?);
    let scaled = parse(whole)?
        .checked_mul(scale)
        .and_then(|n| n.checked_add(parse(fraction).ok()?))
        .and_then(|n| n.checked_mul(factor))
        .ok_or_else(wrong)?;
    u64::try_from(scaled.div_ceil(scale)).map_err(|_| wrong())
}

/// Bytes as a person reads them: the largest binary unit that keeps the number whole, else one decimal.
pub fn human(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    for (unit, size) in UNITS {
        if bytes >= size {
            let tenths = (u128::from(bytes) * 10 + u128::from(size) / 2) / u128::from(size);
            return if tenths % 10 == 0 {
                format!("{} {unit}", tenths / 10)
            } else {
                format!("{}.{} {unit}", tenths / 10, tenths % 10)
            };
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let of = |text: &str| bytes(&Quantity(text.into()));
        assert_eq!(of("32Gi"), Ok(32 << 30));
        assert_eq!(of("1.5G"), Ok(1_500_000_000));
        assert_eq!(of("4096"), Ok(4096));
        assert_eq!(of("0.5"), Ok(1), "a part of a byte is a byte");
        for wrong in ["", "Gi", "-1Gi", "1e3", "1.2.3", "12 GiB", "99999999999999999999Pi", "1.0000000000001"]
        {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn for_people() {
        assert_eq!(human(32 << 30), "32 GiB");
        assert_eq!(human(1_500_000_000), "1.4 GiB");
        assert_eq!(human(12), "12 B");
    }
}
