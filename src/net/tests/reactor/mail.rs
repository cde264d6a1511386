//! Mail between threads: nothing is lost, nobody sleeps over it.

use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use aldis_net::{
    Admit, CloseReason, Config, ConnId, Handler, Io, MailLimits, MailSender, Reactor, listen,
    mailbox,
};
use aldis_wire::{Frame, FrameError};

use crate::node::{Node, PATIENCE};

/// A number from a sender, or the end.
#[derive(Debug)]
enum Mail {
    Number { sender: usize, number: u64 },
    Stop,
}

/// Reports every number.
struct Report(Sender<(usize, u64)>);

impl Handler for Report {
    type Mail = Mail;

    fn handle_open(&mut self, _: &mut Io, _: ConnId, _: SocketAddr) {}

    fn handle_frame(&mut self, _: &mut Io, _: ConnId, _: Frame<'_>) -> Admit {
        Admit::Taken
    }

    fn handle_frame_error(&mut self, _: &mut Io, _: ConnId, _: FrameError) {}

    fn handle_closed(&mut self, _: &mut Io, _: ConnId, _: CloseReason) {}

    fn handle_drained(&mut self, _: &mut Io, _: ConnId) {}

    fn handle_mail(&mut self, io: &mut Io, mail: Mail) {
        match mail {
            Mail::Number { sender, number } => self.0.send((sender, number)).unwrap(),
            Mail::Stop => io.stop(),
        }
    }

    fn handle_timeout(&mut self, _: &mut Io) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_turn_end(&mut self, _: &mut Io) {}
}

/// Runs `work` beside a reactor without any connection or deadline: only mail can wake it.
fn with_reactor(limits: MailLimits, work: impl FnOnce(MailSender<Mail>, Numbers)) {
    let listener = listen("127.0.0.1:0".parse().unwrap(), 1).unwrap().sockets.pop().unwrap();
    let (sender, receiver) = mailbox(limits);
    let (report, numbers) = channel();
    let config = Config { mails_per_turn: 7, ..Config::default() };
    let reactor = Reactor::new(config, listener, None, receiver, Report(report)).unwrap();
    let thread = std::thread::spawn(move || {
        reactor.run().unwrap();
    });
    work(sender.clone(), numbers);
    sender.post(Mail::Stop).unwrap();
    thread.join().unwrap();
    assert!(sender.is_closed());
}

type Numbers = std::sync::mpsc::Receiver<(usize, u64)>;

#[test]
fn of_many_senders_no_mail_is_lost_and_each_ones_order_holds() {
    const SENDERS: usize = 4;
    const EACH: u64 = 20_000;
    let limits = MailLimits { reserved_max: 1 << 20, best_effort_weight_max: 64 };
    with_reactor(limits, |mail, numbers| {
        let threads: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let mail = mail.clone();
                std::thread::spawn(move || {
                    for number in 0..EACH {
                        let mut message = Mail::Number { sender, number };
                        if sender % 2 == 0 {
                            mail.post(message).unwrap();
                            continue;
                        }
                        while let Err(back) = mail.try_post(message, 1) {
                            message = back;
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let mut next = [0; SENDERS];
        for _ in 0..SENDERS as u64 * EACH {
            let (sender, number) = numbers.recv_timeout(PATIENCE).unwrap();
            assert_eq!(number, next[sender]);
            next[sender] += 1;
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// Goal: the moment between looking for mail and falling asleep. Each mail is sent when the one
/// before was handled, which is when the reactor is about to sleep.
#[test]
fn a_mail_that_meets_a_reactor_falling_asleep_wakes_it() {
    let limits = MailLimits { reserved_max: 2, best_effort_weight_max: 2 };
    with_reactor(limits, |mail, numbers| {
        for number in 0..50_000 {
            mail.post(Mail::Number { sender: 0, number }).unwrap();
            assert_eq!(numbers.recv_timeout(PATIENCE).unwrap(), (0, number));
        }
    });
}

#[test]
fn mails_to_a_busy_reactor_wake_it_once_at_most() {
    let node = Node::start(Config::default());
    let before = node.counters().wakeups;
    let mail = node.mail.clone();
    node.call(move |_, _| {
        for _ in 0..100 {
            assert!(mail.post(Box::new(|_, _| ())).is_ok());
        }
    });
    // The two calls woke it once each at most; the hundred mails came while it was awake.
    assert!(node.counters().wakeups - before <= 2);
}
