//! Settings of the reports.

use crate::notifications::{Channel, Message, Title};
use conf::Conf;
use std::{path::PathBuf, str::FromStr};

const DEFAULT_TITLE: &str = "Report received";
const DEFAULT_TEXT: &str = "We have received your report. Thank you.";

/// `reports.*`
#[derive(Conf, Clone, Debug)]
#[conf(validation_predicate = ReportsConfig::check)]
pub struct ReportsConfig {
    /// How patients are told that their report has arrived: `none`, `sms` or `push`. Queued together with the report.
    #[arg(env, default_value = "none")]
    pub receipt: Receipt,
    /// Title of a receipt by push, 1 to 120 characters.
    #[arg(env, default_value = "Report received")]
    pub receipt_title: Title,
    /// Text of a receipt, 1 to 1600 characters.
    #[arg(env, default_value = "We have received your report. Thank you.")]
    pub receipt_text: Message,
    #[conf(flatten, env_prefix = "PREVIEW__")]
    pub preview: PreviewConfig,
}

/// `reports.preview.*`
#[derive(Conf, Clone, Debug)]
pub struct PreviewConfig {
    /// Fonts to draw previews of reports with (ttf, otf, ttc). A character is taken from the first that has it.
    #[arg(repeat, env)]
    pub font_file: Vec<PathBuf>,
}

/// How patients are told that their report has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    None,
    Sms,
    Push,
}

impl Receipt {
    pub const fn channel(self) -> Option<Channel> {
        match self {
            Self::None => None,
            Self::Sms => Some(Channel::Sms),
            Self::Push => Some(Channel::Push),
        }
    }
}

impl FromStr for Receipt {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "sms" => Ok(Self::Sms),
            "push" => Ok(Self::Push),
            _ => Err("must be none, sms or push"),
        }
    }
}

impl ReportsConfig {
    /// A setting without effect is an error.
    fn check(&self) -> Result<(), &'static str> {
        if self.receipt == Receipt::None && self.receipt_text.as_str() != DEFAULT_TEXT {
            return Err(
                "reports.receipt_text has no effect: set reports.receipt to sms or push, or remove the text",
            );
        }
        if self.receipt != Receipt::Push && self.receipt_title.as_str() != DEFAULT_TITLE {
            return Err(
                "reports.receipt_title has no effect: set reports.receipt to push, or remove the title",
            );
        }
        Ok(())
    }
}

impl PreviewConfig {
    /// Reads the fonts and tries them; `None` if none is named.
    ///
    /// # Errors
    /// What is wrong with them. Names no path.
    #[cfg(feature = "pdf")]
    pub fn fonts(&self) -> Result<Option<super::preview::Fonts>, String> {
        if self.font_file.is_empty() {
            return Ok(None);
        }
        super::preview::Fonts::open(&self.font_file).map(Some).map_err(|fault| fault.to_string())
    }

    /// For the check of the configuration, before anything starts.
    ///
    /// # Errors
    /// What is wrong with `reports.preview.font_file`.
    pub fn check(&self) -> Result<(), String> {
        #[cfg(feature = "pdf")]
        return self.fonts().map(drop);
        #[cfg(not(feature = "pdf"))]
        if self.font_file.is_empty() {
            Ok(())
        } else {
            Err("has no effect, because this program was built without PDF: build it with the feature pdf"
                .to_owned())
        }
    }
}
