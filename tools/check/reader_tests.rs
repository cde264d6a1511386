//! Tests of reading lines: what can be used and what cannot.

use super::*;

const SEND: &str = r#"{"run":"r","seed":1,"t_ns":AT,"process":"p","node":"n","op":"send",
"phase":"PHASE","id":1,"args":{"conv":[1,2],"sender":1,
"client_msg_id":"000102030405060708090a0b0c0d0e0f","kind":1,
"hash":"af63dc4c8601ec8c"},"result":RESULT}"#;

fn send(t_ns: u64, phase: &str, result: &str) -> String {
    let line = SEND.replace('\n', "").replace("AT", &t_ns.to_string());
    line.replace("PHASE", phase).replace("RESULT", result) + "\n"
}

const ACK: &str = r#"{"msg_id":9,"seq":1,"conv_seq":1,"time_ms":5}"#;

fn parse(lines: &[String]) -> History {
    History::parse("h", &lines.concat())
}

#[test]
fn a_completion_meets_its_invocation() {
    let history = parse(&[send(10, "invoke", "null"), send(20, "ok", ACK)]);
    assert_eq!(history.problems(), []);
    let attempt = history.attempts[0];
    assert_eq!(attempt.outcome, Outcome::Ok(Ack { msg_id: 9, seq: 1, conv_seq: 1 }));
    assert_eq!((attempt.span.start_ns, attempt.span.end_ns), (10, 20));
    assert_eq!((attempt.span.invoke.line, attempt.span.completion.line), (1, 2));
    assert_eq!(attempt.key.client_msg_id.0[15], 15);
    assert_eq!(history.summary().acknowledged, 1);
}

#[test]
fn an_invocation_without_completion_and_an_info_may_have_happened() {
    let history = parse(&[send(10, "invoke", "null")]);
    assert_eq!(history.attempts[0].outcome, Outcome::Info);
    assert_eq!(history.attempts[0].span.end_ns, u64::MAX);
    let history = parse(&[send(10, "invoke", "null"), send(20, "info", "null")]);
    assert_eq!((history.attempts[0].outcome, history.problems()), (Outcome::Info, &[][..]));
    let refused = send(20, "fail", r#"{"code":"BUSY"}"#);
    let history = parse(&[send(10, "invoke", "null"), refused]);
    assert_eq!(history.attempts[0].outcome, Outcome::Fail);
}

#[test]
fn lines_that_cannot_be_used_are_problems_with_their_place() {
    let cases = [
        vec![send(20, "ok", ACK)],
        vec![send(10, "invoke", "null"), send(20, "ok", "null")],
        vec![send(10, "invoke", "null"), send(9, "ok", ACK)],
        vec![send(10, "invoke", "null"), send(10, "invoke", "null")],
        vec![send(10, "invoke", "null"), send(20, "ok", ACK), send(21, "ok", ACK)],
        vec![send(10, "invoke", "null"), send(20, "ok", ACK).replace("\"r\"", "\"s\"")],
        vec![send(10, "invoke", "null").replace("000102", "0001")],
        vec![send(10, "invoke", "null").replace("\"af", "\"xx")],
        vec![send(10, "invoke", "null").replace("send", "fly")],
        vec!["{\"torn".to_owned()],
        vec!["\u{fffd}".to_owned()],
    ];
    for case in cases {
        let history = parse(&case);
        assert_eq!(history.problems().len(), 1, "{case:?} {:?}", history.problems());
        assert!(history.problems()[0].line.is_some());
    }
}

#[test]
fn what_many_readers_see_is_stored_once_and_files_are_merged_by_time() {
    let push = |t_ns: u64, user: u64| {
        format!(
            r#"{{"run":"r","t_ns":{t_ns},"process":"u{user}","op":"push","phase":"ok","id":1,
            "args":{{"user":{user},"stream":0}},"result":{{"head":1,"entries":[{{"seq":{user},
            "msg_id":9,"conv":[1,2],"conv_seq":1,"sender":1,"client_msg_id":"","kind":100,
            "hash":"0","group_event":{{"kind":1,"user_ids":[1]}}}}]}}}}"#
        )
        .replace('\n', "")
    };
    let mut reader = Reader::default();
    reader.begin_file("a");
    reader.line(&push(30, 1));
    reader.begin_file("b");
    reader.line("");
    reader.line(&push(20, 2));
    let history = reader.finish();
    assert_eq!(history.problems(), []);
    assert_eq!((history.values.len(), history.pushes.len()), (1, 2));
    assert_eq!(history.pushes[0].user, UserId(2));
    assert_eq!(history.locate(history.pushes[0].span.completion), "b:2");
    assert_eq!(history.pushes[0].entries[0].seq, 2);
}
