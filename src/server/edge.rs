//! The threads `admin` and `api`: their listeners, their mailboxes, their start and end. What they
//! serve is in `http`.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use aldis_logic::job::ReactorId;
use aldis_logic::{ApiService, Node};
use aldis_store::Store;
use anyhow::{Context, anyhow};
use tokio::sync::watch;

use crate::config::Config;
use crate::http::{
    API_LIMITS, Admin, Api, ApiOptions, EdgeMail, Gateways, edge_mailbox, run_admin, run_api,
};
use crate::mail::PostOffice;
use crate::metrics::Sources;
use crate::reactor_handler::Workers;

/// Jobs of both threads that can be in the writer's queue.
pub const WRITE_QUEUE_LEN: usize = (API_LIMITS.writes + API_LIMITS.accounts) as usize;
/// Jobs of both that can be in the readers' queue: the last one is the admin's question.
pub const READ_QUEUE_LEN: usize = (API_LIMITS.reads + API_LIMITS.accounts) as usize + 1;
/// Jobs of both that can be in the queue of the password pool.
pub const HASH_QUEUE_LEN: usize = API_LIMITS.hashes as usize;
/// Replies that can be on their way to either; the writer's come by the batch.
const REPLIES_MAX: usize = WRITE_QUEUE_LEN + READ_QUEUE_LEN + HASH_QUEUE_LEN;

/// What is configured, bound and not yet served.
pub struct EdgeListeners {
    /// Where clients are sent.
    pub gateways: Arc<Gateways>,
    admin: Option<TcpListener>,
    api: Option<TcpListener>,
    options: ApiOptions,
}

/// The same with mailboxes.
pub struct EdgeReady {
    listeners: EdgeListeners,
    api_mail: EdgeMail,
    admin_mail: EdgeMail,
}

/// The running threads.
pub struct EdgeThreads {
    stop: watch::Sender<()>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl EdgeListeners {
    /// Binds what is configured; clients reach this node at `own`.
    pub fn bind(config: &Config, own: SocketAddr) -> anyhow::Result<Self> {
        let own = match config.node.client_address.as_str() {
            "" => own.to_string(),
            configured => configured.to_owned(),
        };
        let bind = |name: &str, address: Option<SocketAddr>| {
            let Some(address) = address else { return Ok(None) };
            let listener = TcpListener::bind(address);
            let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
            let actual = listener.local_addr().context("no address")?;
            log::info!("{name} listens on http://{actual}");
            anyhow::Ok(Some(listener))
        };
        let options = ApiOptions {
            requests_per_second: *config.api.requests_per_second.get_ref(),
            is_behind_proxy: config.api.behind_proxy,
        };
        let admin = bind("admin", config.admin.listen.as_ref().map(|listen| *listen.get_ref()))?;
        let api = bind("api", config.api.listen.as_ref().map(|listen| *listen.get_ref()))?;
        Ok(Self { gateways: Arc::new(Gateways::new(own)), admin, api, options })
    }

    /// Lets workers reply to both threads: the api first, then the admin.
    pub fn open_mailboxes(self, office: PostOffice) -> (EdgeReady, PostOffice) {
        let (api_post, api_mail) = edge_mailbox(REPLIES_MAX);
        let (admin_post, admin_mail) = edge_mailbox(REPLIES_MAX);
        let office = office.with_edges(vec![api_post, admin_post]);
        (EdgeReady { listeners: self, api_mail, admin_mail }, office)
    }
}

impl EdgeReady {
    /// Starts those that have a listener.
    pub fn start(
        self,
        reactor_count: usize,
        sources: Sources,
        workers: Workers,
        node: Arc<Node>,
        store: &impl Store,
    ) -> anyhow::Result<EdgeThreads> {
        let EdgeListeners { gateways, admin, api, options } = self.listeners;
        let (stop, stopped) = watch::channel(());
        let mut threads = Vec::new();
        let id = |after: usize| ReactorId((reactor_count + after) as u16);
        let readers = workers.readers.clone();
        if let Some(listener) = api {
            let api = Api {
                service: ApiService::new(node, id(0), API_LIMITS),
                workers,
                gateways,
                is_draining: sources.is_draining.clone(),
                counters: sources.metrics.http.clone(),
                options,
            };
            let (mail, stopped) = (self.api_mail, stopped.clone());
            let run = move || run_api(listener, api, mail, stopped).inspect_err(tell);
            threads.push(Builder::new().name("api".into()).spawn(run)?);
        }
        if let Some(listener) = admin {
            let store = store.clone();
            let has_claim = Box::new(move || store.has_claim());
            let admin = Admin { sources, readers, reactor: id(1), has_claim };
            let mail = self.admin_mail;
            let run = move || run_admin(listener, admin, mail, stopped).inspect_err(tell);
            threads.push(Builder::new().name("admin".into()).spawn(run)?);
        }
        Ok(EdgeThreads { stop, threads })
    }
}

/// The node goes on without its HTTP; its end reports the error again.
fn tell(error: &io::Error) {
    log::error!("an HTTP listener ended: {error}");
}

impl EdgeThreads {
    /// Ends both. What is asked just now stays unanswered.
    pub fn stop(self) -> anyhow::Result<()> {
        drop(self.stop);
        for thread in self.threads {
            let result = thread.join().map_err(|_| anyhow!("an HTTP thread panicked"))?;
            result.context("an HTTP thread failed")?;
        }
        Ok(())
    }
}
