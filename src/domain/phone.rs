//! Rule P1: two numbers are one where they are equal in E.164.

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat};

/// A form in which equal numbers are equal strings.
///
/// That is E.164 (and the extension, where there is one) for a number with its country code. A number
/// without one can't be told apart from the same digits in another country: it is compared by its digits
/// alone, and equals only another that was written without a country code too.
#[must_use]
pub fn comparable(number: &str) -> String {
    // "00" is how many people dial what E.164 writes as "+".
    let number = number.trim();
    let spelled = match number.strip_prefix("00") {
        Some(rest) => format!("+{rest}"),
        None => number.to_owned(),
    };
    let bare: String = spelled
        .chars()
        .filter(|c| c.is_alphanumeric() || *c == '+')
        .collect();
    // The parser stumbles over separators in unusual places ("+4930.123"): it gets a second chance without.
    match e164(&spelled).or_else(|| e164(&bare)) {
        Some(e164) => e164,
        None if bare.is_empty() => spelled,
        None => bare,
    }
}

/// The first call reads the numbering plans: 3 ms, and 5 MiB from then on.
fn e164(number: &str) -> Option<String> {
    // In the middle of a text the library may take it for a range that ends before it begins, and panics.
    if number.find("tel:").is_some_and(|at| at > 0) {
        return None;
    }
    let number = PHONE_NUMBER_UTIL.parse(number, None).ok()?;
    let e164 = PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164);
    Some(match &number.extension {
        Some(extension) => format!("{e164};ext={extension}"),
        None => e164.into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::comparable;

    #[test]
    fn p1_numbers_compare_in_e164() {
        let same = [
            "+33 1 23 45 67 89",
            "+33123456789",
            " 0033 1 23-45-67-89 ",
            "+33 (0)1 23 45 67 89",
            "tel:+33-1-23-45-67-89",
            "0033123.456.789",
            "+331-23-45-67-89",
        ];
        for number in same {
            assert_eq!(comparable(number), "+33123456789", "{number}");
        }
    }

    #[test]
    fn p1_other_countries_and_extensions_are_other_numbers() {
        assert_ne!(comparable("+33123456789"), comparable("+32123456789"));
        assert_ne!(
            comparable("+33123456789 ext. 12"),
            comparable("+33123456789")
        );
        assert_eq!(
            comparable("+33123456789;ext=12"),
            comparable("0033 1 23 45 67 89 x12")
        );
        assert_ne!(comparable("0123456789"), comparable("+33123456789"));
    }

    #[test]
    fn p1_a_number_without_country_code_compares_by_its_digits() {
        assert_eq!(comparable("01 23 45 67 89"), comparable("01.23.45.67.89"));
        assert_ne!(comparable("01 23 45 67 89"), comparable("01 23 45 67 80"));
        assert_eq!(comparable("---"), "---");
    }

    #[test]
    fn p1_a_context_before_its_number_is_no_number() {
        let text = "1;phone-context=+33;tel:123456789";
        assert_eq!(comparable(text), "1phonecontext+33tel123456789");
    }
}
