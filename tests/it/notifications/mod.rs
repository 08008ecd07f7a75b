//! What the calls around a notification promise: accepting, delivering, what waits for a person, and the directory.

mod accept;
mod deliver;
mod directory;
mod fields;
mod people;

const PUSH_BODY: &str = r#"{"patientId":"p-1","title":"Visit","message":"Tomorrow"}"#;
/// A phone and two devices.
const REACHABLE: &str = r#"{"phone":"+4930901820","pushTokens":[{"platform":"fcm","token":"one"},{"platform":"apns","token":"two"}]}"#;
