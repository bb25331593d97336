//! The connections to the listener. Any user of this computer can make some, and must not be able to end the login by it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::{Waiting, answer};

/// Most of them at once. A browser makes a few.
pub(super) const MOST: usize = 32;
/// How long to wait where none can be accepted, as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Those that are open. Where there are too many, the oldest that has not brought the answer makes room.
#[derive(Debug)]
pub(super) struct Connections {
    waiting: Arc<Waiting>,
    tasks: JoinSet<()>,
    /// From the oldest on.
    places: VecDeque<Place>,
}

#[derive(Debug)]
struct Place {
    task: AbortHandle,
    brought_answer: Arc<AtomicBool>,
}

impl Place {
    /// Whether nobody waits for what is answered there.
    fn is_idle(&self) -> bool {
        !self.brought_answer.load(Ordering::Relaxed)
    }
}

impl Connections {
    pub(super) fn new(waiting: Arc<Waiting>) -> Self {
        Self {
            waiting,
            tasks: JoinSet::new(),
            places: VecDeque::new(),
        }
    }

    /// Answers whoever comes, for as long as it is waited for.
    pub(super) async fn accept(&mut self, listener: &TcpListener) -> Infallible {
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        self.add(stream);
                        // Each is read once before others can take its place.
                        tokio::task::yield_now().await;
                    }
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
                Some(_ended) = self.tasks.join_next() => {
                    self.places.retain(|place| !place.task.is_finished());
                }
            }
        }
    }

    fn add(&mut self, stream: TcpStream) {
        if self.places.len() >= MOST {
            let idle = self.places.iter().position(Place::is_idle);
            let Some(place) = idle.and_then(|idle| self.places.remove(idle)) else {
                return;
            };
            place.task.abort();
        }
        let brought_answer = Arc::new(AtomicBool::new(false));
        let (waiting, mark) = (Arc::clone(&self.waiting), Arc::clone(&brought_answer));
        let service =
            service_fn(move |request| answer(Arc::clone(&waiting), Arc::clone(&mark), request));
        // What has been answered is to take no place.
        let connection = http1::Builder::new()
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        let task = self.tasks.spawn(async {
            let _gone = connection.await;
        });
        self.places.push_back(Place {
            task,
            brought_answer,
        });
    }

    /// Ends them all, once those who brought the answer have been answered.
    pub(super) async fn finish(mut self) {
        for place in self.places.iter().filter(|place| place.is_idle()) {
            place.task.abort();
        }
        while self.tasks.join_next().await.is_some() {}
    }
}
