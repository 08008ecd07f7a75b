//! What a job keeps of a notification, as bytes that a later or an earlier release can tell apart.
//!
//! The phone is not kept: it is looked up at delivery, so that a patient who was deleted is not
//! written to. A device's token is, since it says which of the patient's devices the job is for.

use super::model::{Contact, Invalid, Message, PatientId, Platform, PushToken, Title};

/// The layout below. A release that changes it writes another number and goes on reading this one.
pub(super) const VERSION: u8 = 1;

/// One job's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    Sms {
        patient: PatientId,
        message: Message,
    },
    Push {
        patient: PatientId,
        title: Title,
        message: Message,
        /// `None` where the patient had no device and the provider needs none.
        device: Option<PushToken>,
    },
}

/// Why a stored payload cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Written by another release.
    #[error("a payload of another version")]
    Version,
    #[error("a damaged payload")]
    Damaged,
}

pub(super) const SMS: u8 = 1;
pub(super) const PUSH: u8 = 2;

impl Payload {
    pub fn patient(&self) -> &PatientId {
        match self {
            Self::Sms { patient, .. } | Self::Push { patient, .. } => patient,
        }
    }

    /// Version, kind, then texts, each after its length as four bytes, little-endian.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Sms { patient, message } => write(SMS, &[patient.as_str(), message.as_str()]),
            Self::Push { patient, title, message, device } => {
                let head = [patient.as_str(), title.as_str(), message.as_str()];
                match device {
                    None => write(PUSH, &head),
                    Some(device) => {
                        write(PUSH, &[&head[..], &[device.platform().as_str(), device.token()]].concat())
                    }
                }
            }
        }
    }

    /// Reads [`Self::encode`] back.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        match bytes {
            [VERSION, kind, texts @ ..] => {
                let texts = read(texts).ok_or(Unreadable::Damaged)?;
                Self::from_texts(*kind, &texts).map_err(|_| Unreadable::Damaged)
            }
            [_, ..] => Err(Unreadable::Version),
            [] => Err(Unreadable::Damaged),
        }
    }

    fn from_texts(kind: u8, texts: &[&str]) -> Result<Self, Invalid> {
        match (kind, texts) {
            (SMS, [patient, message]) => {
                Ok(Self::Sms { patient: patient.parse()?, message: message.parse()? })
            }
            (PUSH, [patient, title, message, device @ ..]) => Ok(Self::Push {
                patient: patient.parse()?,
                title: title.parse()?,
                message: message.parse()?,
                device: read_device(device)?,
            }),
            _ => Err(Invalid("must be a known kind")),
        }
    }
}

/// One payload for a job, each as it is stored: an SMS (without a title) is one job, a push one for each device.
///
/// `contact` matters for a push: without a device there is one job for a provider that needs none, and nothing for another.
pub fn of(
    patient: PatientId,
    title: Option<Title>,
    message: Message,
    contact: Option<Contact>,
    needs_contact: bool,
) -> Vec<Vec<u8>> {
    let Some(title) = title else { return vec![Payload::Sms { patient, message }.encode()] };
    let contact = contact.unwrap_or_default();
    let push = |device| {
        let (patient, title, message) = (patient.clone(), title.clone(), message.clone());
        Payload::Push { patient, title, message, device }.encode()
    };
    if contact.push_tokens.is_empty() && !needs_contact {
        return vec![push(None)];
    }
    contact.push_tokens.into_iter().map(|device| push(Some(device))).collect()
}

fn read_device(texts: &[&str]) -> Result<Option<PushToken>, Invalid> {
    match texts {
        [] => Ok(None),
        [platform, token] => Ok(Some(PushToken::new(platform.parse::<Platform>()?, token)?)),
        _ => Err(Invalid("must be a platform and a token")),
    }
}

/// This version, a kind, and texts.
pub(super) fn write(kind: u8, texts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 + texts.iter().map(|text| 4 + text.len()).sum::<usize>());
    bytes.extend([VERSION, kind]);
    for text in texts {
        // Every text is bounded by its type, far below four bytes' range.
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// The texts that [`write()`] wrote, after its version and kind.
pub(super) fn read(mut bytes: &[u8]) -> Option<Vec<&str>> {
    let mut texts = Vec::with_capacity(5);
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        texts.push(std::str::from_utf8(text).ok()?);
        bytes = rest;
    }
    Some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn push(device: Option<PushToken>) -> Payload {
        let (patient, title) = ("p-1".parse().unwrap(), "Tomorrow".parse().unwrap());
        Payload::Push { patient, title, message: "Your visit".parse().unwrap(), device }
    }

    proptest! {
        #[test]
        fn an_sms_is_read_back(patient in "[A-Za-z0-9._-]{1,64}", message in "\\PC{1,200}") {
            let payload = Payload::Sms { patient: patient.parse().unwrap(), message: message.parse().unwrap() };
            prop_assert_eq!(Payload::decode(&payload.encode()), Ok(payload));
        }

        #[test]
        fn arbitrary_bytes_are_refused_not_feared(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Payload::decode(&bytes);
        }

        #[test]
        fn a_cut_payload_is_never_another_one(cut in 0usize..60) {
            let whole = push(Some(PushToken::new(Platform::Fcm, "token").unwrap())).encode();
            if cut < whole.len() {
                let decoded = Payload::decode(&whole[..cut]);
                // Without its device it would still be well-formed: the cut has to fall exactly there.
                prop_assert!(decoded.is_err() || decoded == Ok(push(None)));
            }
        }
    }

    #[test]
    fn a_push_is_read_back_with_and_without_a_device() {
        for device in [None, Some(PushToken::new(Platform::Ios, "abc").unwrap())] {
            assert_eq!(Payload::decode(&push(device.clone()).encode()), Ok(push(device)));
        }
    }

    #[test]
    fn another_version_is_told_apart_from_damage() {
        let mut bytes = push(None).encode();
        bytes[0] = VERSION + 1;
        assert_eq!(Payload::decode(&bytes), Err(Unreadable::Version));
        bytes[0] = VERSION;
        bytes.truncate(10);
        assert_eq!(Payload::decode(&bytes), Err(Unreadable::Damaged));
    }

    #[test]
    fn debug_shows_no_patient_value() {
        let shown = format!("{:?}", push(Some(PushToken::new(Platform::Ios, "abc").unwrap())));
        assert!(!shown.contains("p-1") && !shown.contains("visit") && !shown.contains("abc"), "{shown}");
    }
}
