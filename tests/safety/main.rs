//! The corpora of request and answer safety: what nobody should send, with the class in which each case ends, told to a
//! real node over real sockets. Viewers and origins are octets and nothing else, so that no library smooths anything;
//! a recording origin keeps what came to it, and none ever sees a request that its case does not name.
#![allow(
    clippy::disallowed_methods,
    clippy::excessive_nesting,
    clippy::unwrap_used,
    reason = "a case is told in one closure, with tasks and a last deadline of its own; what fails in it is to panic"
)]

mod answers;
mod answers2;
#[path = "../scenarios/certificates.rs"]
#[allow(dead_code, reason = "shared with the scenarios")]
mod certificates;
mod corpus;
mod http1;
mod http2;
mod http3;
mod origin;
mod sections;
mod stage;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use corpus::Case;

/// A case that is not over by then never will be.
const LAST_DEADLINE: Duration = Duration::from_secs(120);
/// Cases at once.
const AT_ONCE: usize = 16;

/// Tells all cases, many at once; the faults of those that did not end as they should.
async fn all<T, F>(cases: &[Case<T>], tell: impl Fn(Case<T>) -> F) -> Vec<String>
where
    T: Clone + Send + 'static,
    F: Future<Output = Option<String>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut telling = JoinSet::new();
    for case in cases {
        let case = Case { id: case.id.clone(), name: case.name.clone(), told: case.told.clone() };
        let (places, told) = (places.clone(), tell(case));
        telling.spawn(async move {
            let _place = places.acquire().await.unwrap();
            told.await
        });
    }
    telling.join_all().await.into_iter().flatten().collect()
}

/// The fault of a case, if it has one, or if it comes to no end.
async fn within(name: &str, told: impl Future<Output = Result<(), String>>) -> Option<String> {
    match tokio::time::timeout(LAST_DEADLINE, told).await {
        Ok(told) => told.err().map(|fault| format!("{name}: {fault}")),
        Err(_) => Some(format!("{name}: it came to no end")),
    }
}
