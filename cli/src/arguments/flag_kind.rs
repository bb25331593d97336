//! What many flags have in common. `#[arg]` hands on to [`Arg`] what it does not know itself.

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction};

pub(super) trait FlagKind {
    /// On or off: alone, or with what Go takes for a boolean, such as `T` or `0`, and more.
    fn switch(self) -> Self;

    /// A text that is empty unless it is given.
    fn text(self) -> Self;
}

impl FlagKind for Arg {
    fn switch(self) -> Self {
        self.action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_value("false")
            .default_missing_value("true")
            .hide_default_value(true)
            .value_parser(BoolishValueParser::new())
            .value_name("BOOL")
    }

    fn text(self) -> Self {
        self.required(false)
            .default_value("")
            .hide_default_value(true)
    }
}
