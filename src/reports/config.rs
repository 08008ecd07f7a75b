//! Settings of the reports.

use crate::notifications::{Channel, Message, Title};
use chassis::config::Checks;
use conf::Conf;
use std::{path::PathBuf, str::FromStr};

/// `reports.*`
#[derive(Conf, Clone, Debug)]
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
    /// Reports settings without effect, and fonts that can't be used.
    pub fn check(&self, checks: &mut Checks<'_>) {
        let receipt = "reports.receipt";
        if self.receipt == Receipt::None {
            checks.no_effect(
                "reports.receipt_text",
                receipt,
                "set reports.receipt to sms or push, or remove this key",
            );
        }
        if self.receipt != Receipt::Push {
            checks.no_effect(
                "reports.receipt_title",
                receipt,
                "set reports.receipt to push, or remove this key",
            );
        }
        #[cfg(feature = "pdf")]
        let fault = self.preview.fonts().err();
        #[cfg(not(feature = "pdf"))]
        let fault = (!self.preview.font_file.is_empty()).then(|| {
            "has no effect without the feature pdf: build the program with it, or remove this key".to_owned()
        });
        if let Some(fault) = fault {
            checks.fault("reports.preview.font_file", fault);
        }
    }
}

#[cfg(feature = "pdf")]
impl PreviewConfig {
    /// Reads the fonts and tries them; `None` if none is named.
    ///
    /// # Errors
    /// What is wrong with them. Names no path.
    pub fn fonts(&self) -> Result<Option<super::preview::Fonts>, String> {
        if self.font_file.is_empty() {
            return Ok(None);
        }
        super::preview::Fonts::open(&self.font_file).map(Some).map_err(|fault| fault.to_string())
    }
}
