//! A message to a study as the queue keeps it until it is expanded: a template once, and members.
//! What a job keeps afterwards is [`super::payload`]'s matter.

use super::{
    model::{Message, PatientId, Platform, PushToken, Title},
    payload::{PUSH, Payload, SMS, VERSION, read, write},
};
use crate::platform::queue::Payloads;

/// What all notifications of a batch say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Template {
    Sms { message: Message },
    Push { title: Title, message: Message },
}

impl Template {
    /// As a payload without patient and device: the version is that of payloads and members together.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Sms { message } => write(SMS, &[message.as_str()]),
            Self::Push { title, message } => write(PUSH, &[title.as_str(), message.as_str()]),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let [VERSION, kind, texts @ ..] = bytes else { return None };
        match (*kind, &read(texts)?[..]) {
            (SMS, [message]) => Some(Self::Sms { message: message.parse().ok()? }),
            (PUSH, [title, message]) => {
                Some(Self::Push { title: title.parse().ok()?, message: message.parse().ok()? })
            }
            _ => None,
        }
    }

    /// The payloads of a patient's notification: one, or one for each device.
    fn payloads(&self, patient: &PatientId, devices: Vec<PushToken>) -> Payloads {
        let one = |device: Option<PushToken>| {
            let patient = patient.clone();
            match self.clone() {
                Self::Sms { message } => Payload::Sms { patient, message }.encode(),
                Self::Push { title, message } => Payload::Push { patient, title, message, device }.encode(),
            }
        };
        if devices.is_empty() {
            return vec![one(None)];
        }
        devices.into_iter().map(|device| one(Some(device))).collect()
    }
}

/// A patient and the devices that its jobs are for: each text after its length, which takes one byte, or
/// two (little-endian) for a token; the devices after their number.
pub fn member(patient: &str, devices: &[PushToken]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 + patient.len());
    // All bounded by their types: 64 characters, 20 devices, a word, and 4,096 characters.
    bytes.push(patient.len() as u8);
    bytes.extend(patient.as_bytes());
    bytes.push(devices.len() as u8);
    for device in devices {
        let (platform, token) = (device.platform().as_str(), device.token());
        bytes.push(platform.len() as u8);
        bytes.extend(platform.as_bytes());
        bytes.extend((token.len() as u16).to_le_bytes());
        bytes.extend(token.as_bytes());
    }
    bytes
}

/// The payloads of every member's notification; `None` if another release wrote them, or they are damaged.
pub fn expand(template: &[u8], mut members: &[u8]) -> Option<Vec<Payloads>> {
    let template = Template::decode(template)?;
    let mut notifications = Vec::new();
    while !members.is_empty() {
        let patient = short(&mut members)?.parse().ok()?;
        let count = *members.split_off_first()?;
        let devices: Option<Vec<PushToken>> = (0..count).map(|_| device(&mut members)).collect();
        notifications.push(template.payloads(&patient, devices?));
    }
    Some(notifications)
}

fn device(bytes: &mut &[u8]) -> Option<PushToken> {
    let platform = short(bytes)?.parse::<Platform>().ok()?;
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    *bytes = rest;
    PushToken::new(platform, text(bytes, usize::from(u16::from_le_bytes(*length)))?).ok()
}

/// A text whose length takes one byte.
fn short<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = *bytes.split_off_first()?;
    text(bytes, usize::from(length))
}

fn text<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a str> {
    std::str::from_utf8(bytes.split_off(..length)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn push() -> Template {
        Template::Push { title: "Visit".parse().unwrap(), message: "Tomorrow".parse().unwrap() }
    }

    proptest! {
        #[test]
        fn every_member_gets_the_payloads_that_a_single_notification_would_have(
            patients in prop::collection::vec(("[A-Za-z0-9._-]{1,64}", prop::collection::vec("[!-~]{1,400}", 0..4)), 0..20),
        ) {
            let device = |token: &String| PushToken::new(Platform::Ios, token).unwrap();
            let mut members = Vec::new();
            let mut wanted = Vec::new();
            for (patient, tokens) in &patients {
                let devices: Vec<_> = tokens.iter().map(device).collect();
                members.extend(member(patient, &devices));
                wanted.push(push().payloads(&patient.parse().unwrap(), devices));
            }
            prop_assert_eq!(expand(&push().encode(), &members), Some(wanted));
        }

        #[test]
        fn arbitrary_bytes_are_refused_not_feared(
            template in prop::collection::vec(any::<u8>(), 0..40),
            members in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = expand(&template, &members);
            let _ = expand(&push().encode(), &members);
        }
    }

    #[test]
    fn an_sms_goes_to_the_patient_alone() {
        let template = Template::Sms { message: "Tomorrow".parse().unwrap() };
        let found = expand(&template.encode(), &member("p-1", &[])).unwrap();
        let payload = Payload::Sms { patient: "p-1".parse().unwrap(), message: "Tomorrow".parse().unwrap() };
        assert_eq!(found, [[payload.encode()]]);
    }

    #[test]
    fn what_another_release_wrote_is_left_alone() {
        let mut template = push().encode();
        template[0] = VERSION + 1;
        assert_eq!(expand(&template, &member("p-1", &[])), None);
    }
}
