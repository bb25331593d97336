//! The rows of the bench: their budgets, the table on the terminal and the JSON file.

use std::fmt::Write as _;

use serde::Serialize;

/// One measured figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// What the figure may not exceed (or, for a rate, must reach); absent where it only explains another row.
    pub(crate) budget: Option<f64>,
    /// What no program could go below on this machine.
    pub(crate) floor: Option<f64>,
    /// `value` over `floor`.
    pub(crate) ratio: Option<f64>,
    pub(crate) met: Option<bool>,
    /// How the figure was taken where that differs from the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

impl Row {
    /// A figure with no budget of its own.
    pub(crate) fn figure(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self {
            name,
            value,
            unit,
            budget: None,
            floor: None,
            ratio: None,
            met: None,
            note: None,
        }
    }

    /// A figure that must not exceed `budget`.
    pub(crate) fn at_most(name: &'static str, value: f64, unit: &'static str, budget: f64) -> Self {
        Self {
            budget: Some(budget),
            met: Some(value <= budget),
            ..Self::figure(name, value, unit)
        }
    }

    /// A figure that must reach `budget`.
    pub(crate) fn at_least(
        name: &'static str,
        value: f64,
        unit: &'static str,
        budget: f64,
    ) -> Self {
        Self {
            budget: Some(budget),
            met: Some(value >= budget),
            ..Self::figure(name, value, unit)
        }
    }

    pub(crate) fn with_floor(self, floor: f64) -> Self {
        Self {
            floor: Some(floor),
            ratio: Some(self.value / floor),
            ..self
        }
    }

    pub(crate) fn with_note(self, note: impl Into<String>) -> Self {
        Self {
            note: Some(note.into()),
            ..self
        }
    }
}

/// The rows as a table for a terminal.
pub(crate) fn table(rows: &[Row]) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.1}"));
    let mut text = format!(
        "{:<30} {:>10} {:<6} {:>10} {:>8} {:>6}  {}\n",
        "row", "value", "unit", "budget", "floor", "ratio", "met"
    );
    for row in rows {
        let ratio = row
            .ratio
            .map_or_else(|| "-".to_owned(), |r| format!("{r:.2}"));
        let met = match row.met {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "",
        };
        let note = row
            .note
            .as_deref()
            .map_or_else(String::new, |note| format!(" ({note})"));
        // Writing to a String cannot fail.
        let _infallible = writeln!(
            text,
            "{:<30} {:>10.1} {:<6} {:>10} {:>8} {ratio:>6}  {met}{note}",
            row.name,
            row.value,
            row.unit,
            number(row.budget),
            number(row.floor),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_ceilings_for_costs_and_floors_for_rates() {
        assert_eq!(Row::at_most("a", 10.0, "us", 10.0).met, Some(true));
        assert_eq!(Row::at_most("a", 10.1, "us", 10.0).met, Some(false));
        assert_eq!(Row::at_least("a", 9.9, "1/s", 10.0).met, Some(false));
        assert_eq!(Row::at_least("a", 10.0, "1/s", 10.0).met, Some(true));
        assert_eq!(Row::figure("a", 1.0, "s").met, None);
    }

    #[test]
    fn rows_without_floor_say_null() {
        let json = serde_json::to_value(Row::at_most("junk_cpu", 20.0, "us", 30.0)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"name": "junk_cpu", "value": 20.0, "unit": "us", "budget": 30.0,
                "floor": null, "ratio": null, "met": true})
        );
        let row = Row::at_most("x", 214.0, "us", 155.0).with_floor(107.0);
        assert_eq!(row.ratio, Some(2.0));
    }
}
