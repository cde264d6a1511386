//! Attempts at passwords are counted by all nodes together, for a while, and by nobody when Redis
//! cannot.

use std::net::IpAddr;

use aldis_directory::Directory;
use aldis_logic::job::{AttemptJob, Verdict};
use aldis_logic::{Attempt, AttemptRules};
use aldis_services::{Redis, RedisCluster};

use crate::harness::Node;

const GUESSER: &str = "198.51.100.1";
const OTHER: &str = "192.0.2.1";

fn attempt(account: &str, address: &str) -> Attempt {
    Attempt::password(account, address.parse::<IpAddr>().unwrap())
}

fn count(node: &mut Node, jobs: &[AttemptJob]) -> Vec<Verdict> {
    let now_ms = node.now_ms();
    node.directory.count_attempts(now_ms, jobs)
}

fn begin(node: &mut Node, attempt: &Attempt) -> Verdict {
    count(node, &[AttemptJob::Begin(attempt.clone())])[0]
}

fn forgive(node: &mut Node, attempt: &Attempt) {
    count(node, &[AttemptJob::Forgive(attempt.clone())]);
}

/// Whether it must wait, and no longer than that.
fn waits(verdict: Verdict, longest_ms: u32) -> bool {
    matches!(verdict, Verdict::Wait(wait_ms) if (1..=longest_ms).contains(&wait_ms))
}

fn expect_counted_together(urls: Vec<String>) {
    let [mut one, mut two] = [1, 2].map(|number| Node::start(number, urls.clone()));
    let guess = attempt("ada", GUESSER);
    // The fifth begins the first delay.
    for number in 0..5 {
        let node = if number % 2 == 0 { &mut one } else { &mut two };
        assert_eq!(begin(node, &guess), Verdict::Counted);
    }
    for node in [&mut one, &mut two] {
        assert!(waits(begin(node, &guess), 1_000));
        assert_eq!(begin(node, &attempt("ada", OTHER)), Verdict::Counted, "the owner at home");
        forgive(node, &attempt("ada", OTHER));
    }
    // All at once count one after the other.
    let many = vec![AttemptJob::Begin(attempt("ben", GUESSER)); 20];
    let verdicts = count(&mut two, &many);
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Counted).count(), 5);
    assert!(verdicts[5..].iter().all(|verdict| waits(*verdict, 1_000)), "{verdicts:?}");
    forgive(&mut one, &guess);
    assert_eq!(begin(&mut two, &guess), Verdict::Counted, "the right password clears the way");
}

#[test]
fn nodes_count_together() {
    expect_counted_together(vec![Redis::start().url()]);
}

#[test]
fn nodes_count_together_in_a_cluster() {
    let cluster = RedisCluster::start();
    expect_counted_together(cluster.urls());
}

#[test]
fn what_is_refused_is_not_counted_and_what_is_counted_is_forgotten() {
    let redis = Redis::start();
    let mut node = Node::start(1, vec![redis.url()]);
    let guess = attempt("ada", GUESSER);
    for _ in 0..5 {
        begin(&mut node, &guess);
    }
    let of_address = format!("im:attempts:address:{{{GUESSER}}}");
    let keys = ["im:attempts:account:{ada}", &of_address];
    for key in keys {
        assert_eq!(redis.cli(&["GET", key]), "5");
    }
    for _ in 0..20 {
        assert!(waits(begin(&mut node, &guess), 1_000));
    }
    for key in keys {
        assert_eq!(redis.cli(&["GET", key]), "5", "one that was refused: {key}");
        let left: u64 = redis.cli(&["PTTL", key]).parse().unwrap();
        assert!((1..=AttemptRules::default().forget_ms).contains(&left), "{key}: {left}");
    }
}

#[test]
fn without_redis_or_with_nonsense_in_it_nobody_is_refused() {
    let mut redis = Redis::start();
    let mut node = Node::start(1, vec![redis.url()]);
    let guess = attempt("ada", GUESSER);
    redis.cli(&["LPUSH", "im:attempts:account:{ada}", "nonsense"]);
    redis.cli(&["SET", &format!("im:attempts:address:{{{GUESSER}}}"), "nonsense"]);
    assert_eq!(begin(&mut node, &guess), Verdict::Unknown);
    redis.cli(&["DEL", "im:attempts:account:{ada}"]);
    assert_eq!(begin(&mut node, &guess), Verdict::Counted);
    redis.cli(&["SET", "im:attempts:account:{ada}", "1e300", "PX", "999999999"]);
    assert!(waits(begin(&mut node, &guess), 8_000), "no longer than by any count");
    redis.kill_9();
    for _ in 0..50 {
        assert_eq!(begin(&mut node, &guess), Verdict::Unknown);
        forgive(&mut node, &guess);
    }
    redis.restart();
    node.wait("it counts again", |node| begin(node, &guess) == Verdict::Counted);
}

/// Goal: whoever guesses from everywhere at everybody does not fill Redis.
#[test]
fn a_flood_takes_so_many_keys_and_no_more() {
    let redis = Redis::start();
    let mut node = Node::start(1, vec![redis.url()]);
    let mut unknown = 0;
    for round in 0..40_u32 {
        let jobs: Vec<_> = (0..1_000)
            .map(|number| {
                let address = IpAddr::from((0x0a00_0000 + round * 1_000 + number).to_be_bytes());
                let account = format!("somebody-{round}-{number}");
                AttemptJob::Begin(Attempt::password(&account, address))
            })
            .collect();
        let now_ms = 0;
        let verdicts = node.directory.count_attempts(now_ms, &jobs);
        unknown += verdicts.iter().filter(|verdict| **verdict == Verdict::Unknown).count();
    }
    let keys: u64 = redis.cli(&["DBSIZE"]).parse().unwrap();
    println!("{keys} keys, {}", redis.cli(&["INFO", "memory"]).lines().nth(2).unwrap_or_default());
    assert!(unknown >= 7_000 && keys <= 3 * 33_000, "{unknown} of 40,000, {keys} keys");
}
