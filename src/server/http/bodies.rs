//! The JSON of the api: what requests look like, what answers look like. Decides nothing about them.

use aldis_logic::{ApiLogin, Refusal};
use aldis_wire::{Code, DeviceClass, pb};
use hyper::StatusCode;
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::serve::{Answer, answer, retry_after};

/// Content type of requests and answers.
pub const JSON: &str = "application/json";

/// `POST /v1/login`. Not shown anywhere: it holds a password.
#[derive(Deserialize)]
pub struct LoginBody {
    username: String,
    password: String,
    device_id: String,
    device_class: ClassName,
}

/// `POST /v1/register`: the same, and who it shall be. Not shown anywhere.
#[derive(Deserialize)]
pub struct RegisterBody {
    username: String,
    password: String,
    device_id: String,
    device_class: ClassName,
    #[serde(default)]
    nickname: String,
    /// 32 hexadecimal digits.
    request_id: String,
}

/// Classes of devices by name.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ClassName {
    Phone,
    Tablet,
    Desktop,
    Web,
    Device,
}

impl From<ClassName> for DeviceClass {
    fn from(name: ClassName) -> Self {
        match name {
            ClassName::Phone => DeviceClass::Phone,
            ClassName::Tablet => DeviceClass::Tablet,
            ClassName::Desktop => DeviceClass::Desktop,
            ClassName::Web => DeviceClass::Web,
            ClassName::Device => DeviceClass::Device,
        }
    }
}

impl From<LoginBody> for pb::LoginReq {
    fn from(body: LoginBody) -> Self {
        let LoginBody { username, password, device_id, device_class } = body;
        let device_class = DeviceClass::from(device_class).number() as i32;
        pb::LoginReq { username, password, device_id, device_class, ..Self::default() }
    }
}

impl RegisterBody {
    /// What REGISTER and LOGIN would be sent.
    pub fn split(self) -> (pb::RegisterReq, pb::LoginReq) {
        let register = pb::RegisterReq {
            username: self.username.clone(),
            password: self.password.clone(),
            nickname: self.nickname,
            // Another length than 16 bytes is refused as such.
            request_id: decode_hex(&self.request_id).unwrap_or_default().into(),
        };
        let login = LoginBody {
            username: self.username,
            password: self.password,
            device_id: self.device_id,
            device_class: self.device_class,
        };
        (register, login.into())
    }
}

/// What is wrong with a body, without repeating any of it.
#[derive(Debug, thiserror::Error)]
#[error("{what} (line {line}, column {column})")]
pub struct BadBody {
    what: &'static str,
    line: usize,
    column: usize,
}

impl BadBody {
    /// What is answered to it.
    pub fn answer(&self) -> Answer {
        let text = self.to_string();
        error_answer(StatusCode::BAD_REQUEST, Code::BadRequest.name(), &text, 0)
    }
}

/// The body of a request.
pub fn parse<'a, T: Deserialize<'a>>(body: &'a Bytes) -> Result<T, BadBody> {
    serde_json::from_slice(body).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => "a field is missing or of another kind",
            _ => "the body is no JSON",
        };
        BadBody { what, line: error.line(), column: error.column() }
    })
}

/// A token, and where to use it.
pub fn login_answer(login: &ApiLogin, gateway: Option<&str>) -> Answer {
    let body = json!({
        "user_id": login.user.0,
        "token": login.token,
        "token_expires_ms": login.token_expires_ms,
        "gateway": gateway,
    });
    json_answer(StatusCode::OK, &body)
}

/// Where to connect.
pub fn gateway_answer(gateway: &str) -> Answer {
    json_answer(StatusCode::OK, &json!({ "gateway": gateway }))
}

/// The refusal of the logic under its HTTP status.
pub fn refusal_answer(refusal: &Refusal) -> Answer {
    let status = match refusal.code {
        Code::BadCredentials | Code::TokenExpired | Code::NotLoggedIn => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Conflict => StatusCode::CONFLICT,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::Busy | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    let code = refusal.code;
    let answer = error_answer(status, code.name(), refusal.message, refusal.retry_after_ms);
    if code.is_retryable() { retry_after(answer, refusal.retry_after_ms) } else { answer }
}

/// Any other error, in the same form.
pub fn error_answer(status: StatusCode, code: &str, message: &str, retry_after_ms: u32) -> Answer {
    let error = json!({ "code": code, "message": message, "retry_after_ms": retry_after_ms });
    json_answer(status, &json!({ "error": error }))
}

fn json_answer(status: StatusCode, body: &Value) -> Answer {
    answer(status, JSON, format!("{body}\n").into())
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let is_hex = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let pairs = is_hex.then(|| (0..text.len()).step_by(2))?;
    pairs.map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_become_requests_of_the_protocol() {
        let body = Bytes::from_static(
            br#"{"username":"Ada","password":"correct horse","device_id":"d1",
                "device_class":"phone","request_id":"000102030405060708090a0b0c0d0e0f","x":1}"#,
        );
        let (register, login) = parse::<RegisterBody>(&body).unwrap_or_else(|_| panic!()).split();
        assert_eq!(register.request_id, (0..16).collect::<Vec<u8>>());
        assert_eq!((register.username.as_str(), login.username.as_str()), ("Ada", "Ada"));
        assert_eq!((login.device_class, login.device_id.as_str()), (1, "d1"));
    }

    #[test]
    fn what_is_wrong_with_a_body_is_said_without_its_content() {
        for body in [&b"{\"username\":\"hunter2\"}"[..], b"{\"password\":7}", b"[", b"", b"\xff"] {
            let error = parse::<LoginBody>(&Bytes::from_static(body)).err().unwrap();
            assert_eq!(error.answer().status(), StatusCode::BAD_REQUEST);
            assert!(!format!("{error} {:?}", error.answer()).contains("hunter2"));
        }
        assert_eq!(decode_hex("0g"), None);
        assert_eq!(decode_hex("abc"), None);
        assert_eq!(decode_hex("éé"), None);
    }
}
