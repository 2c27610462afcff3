//! Tenants are told of the ends of models that they may call.

use std::collections::BTreeSet;

use administration::{AdministrationStore, LobState, TenantState, TenantsAsked};
use admission::StoreError;
use events::{EventSink, PublishError};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use inference::{Alias, Model};
use jiff::Timestamp;
use tenancy::{LobId, ModelId, TenantId};

use crate::{Affected, ModelEntry, Notice, RegistryStore, Told};

/// Tenants that are looked at before it is noted how far it went.
const PAGE: usize = 100;
/// Tenants that are read at the same time.
const READS: usize = 16;

/// Why not everybody was told. Whoever was is noted; the next run goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// Something could not be read or noted.
    #[error("it could not be read or noted who is to be told")]
    Store(#[from] StoreError),
    /// An event was not taken.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// Tells what is due at `now()`, until the moment `until`: how many events were handed over.
///
/// A tenant is told at least once of each notice: of what was handed over before the run died, it is told
/// again, with the same event id.
///
/// # Errors
/// The first thing that did not work.
pub async fn tell(
    registry: &impl RegistryStore,
    tenants: &impl AdministrationStore,
    sink: &impl EventSink,
    now: fn() -> Timestamp,
    until: Timestamp,
) -> Result<usize, TellError> {
    let entries = registry.entries::<ModelEntry>().await?;
    let aliases: Vec<Alias> =
        registry.entries::<Alias>().await?.into_iter().map(|it| it.entry).collect();
    let mut count = 0;
    for model in entries.into_iter().map(|it| it.entry.model) {
        let told = registry.told(&model.id).await?;
        let Some(notice) = Notice::due(&model, now()) else {
            if told.is_some() {
                registry.put_told(&model.id, None).await?;
            }
            continue;
        };
        let Some(rest) = Told::rest(told.as_ref(), &notice) else { continue };
        let (to, what) = (Round { registry, tenants, sink, now, until }, (&model, &*aliases));
        count += Box::pin(to.tell(what, rest)).await?;
    }
    Ok(count)
}

/// One walk past all tenants.
struct Round<'a, R, S, E> {
    registry: &'a R,
    tenants: &'a S,
    sink: &'a E,
    now: fn() -> Timestamp,
    until: Timestamp,
}

impl<R: RegistryStore, S: AdministrationStore, E: EventSink> Round<'_, R, S, E> {
    async fn tell(
        &self,
        (model, aliases): (&Model, &[Alias]),
        mut told: Told,
    ) -> Result<usize, TellError> {
        let mut count = 0;
        while (self.now)() < self.until {
            let Some((lob_id, after)) = self.position(told.up_to.take()).await? else {
                told.is_complete = true;
                self.registry.put_told(&model.id, Some(&told)).await?;
                tracing::info!(model = %model.id, count, "tenants were told of a model's end");
                return Ok(count);
            };
            let asked = TenantsAsked { lob_id, prefix: String::new(), after, limit: PAGE };
            let page = self.tenants.tenant_page(&asked).await?;
            let lob = self.tenants.lob(&asked.lob_id).await?;
            let affected = self.affected(&page.tenants, lob.as_ref(), &told.notice, model).await?;
            let events: Vec<_> = affected
                .iter()
                .map(|(tenant_id, may_call_successor)| {
                    let (lob_id, may_call_successor) = (&asked.lob_id, *may_call_successor);
                    let affected = Affected { tenant_id, lob_id, may_call_successor };
                    told.notice.event(model, aliases, affected, (self.now)())
                })
                .collect();
            for outcome in self.sink.publish(&events).await {
                outcome?;
            }
            count += events.len();
            let last = page.tenants.last().filter(|_| page.has_more).cloned();
            told.up_to = Some((asked.lob_id, last));
            self.registry.put_told(&model.id, Some(&told)).await?;
        }
        Ok(count)
    }

    /// The line of business that comes next, and the tenant in it after which to go on; none if that was all.
    async fn position(
        &self,
        up_to: Option<(LobId, Option<TenantId>)>,
    ) -> Result<Option<(LobId, Option<TenantId>)>, StoreError> {
        let after = match up_to {
            Some((lob_id, Some(tenant_id))) => return Ok(Some((lob_id, Some(tenant_id)))),
            Some((lob_id, None)) => Some(lob_id),
            None => None,
        };
        let next = self.tenants.lobs(after.as_ref(), 1).await?.into_iter().next();
        Ok(next.map(|lob_id| (lob_id, None)))
    }

    /// Those of `ids` that may call `model`, and whether each may call its successor.
    async fn affected(
        &self,
        ids: &[TenantId],
        lob: Option<&LobState>,
        notice: &Notice,
        model: &Model,
    ) -> Result<Vec<(TenantId, bool)>, StoreError> {
        let of_lob = lob.and_then(|lob| lob.document.models.as_ref());
        let reads: Vec<_> = ids.iter().map(|id| self.tenants.tenant(id)).collect();
        let states: Vec<Option<TenantState>> =
            stream::iter(reads).buffered(READS).try_collect().await?;
        let may_call = |own: &BTreeSet<ModelId>, id: &ModelId| {
            own.contains(id) && of_lob.is_none_or(|of_lob| of_lob.contains(id))
        };
        let affected = ids.iter().zip(states).filter_map(|(id, state)| {
            let own = state?.document.models;
            let successor = notice.successor.as_ref();
            may_call(&own, &model.id)
                .then(|| (id.clone(), successor.is_some_and(|it| may_call(&own, it))))
        });
        Ok(affected.collect())
    }
}

#[cfg(test)]
mod tests {
    use administration::fakes::FakeTable;
    use administration::{LobDocument, TenantDocument};
    use events::fakes::InMemorySink;
    use inference::{EndOfLife, Protocol, fixtures};
    use serde_json::json;
    use tenancy::Status;

    use super::*;
    use crate::Kind;
    use crate::fakes::InMemoryRegistry;

    const LATER: Timestamp = Timestamp::MAX;

    fn now() -> Timestamp {
        "2026-11-27T12:00:00Z".parse().unwrap()
    }

    fn model(id: &str) -> ModelId {
        id.parse().unwrap()
    }

    fn ids(models: &[&str]) -> BTreeSet<ModelId> {
        models.iter().map(|id| model(id)).collect()
    }

    /// `old`, which ends, and `new`, which follows it.
    fn registry(retires_on: &str) -> InMemoryRegistry {
        let registry = InMemoryRegistry::default();
        set_end(&registry, Some(retires_on));
        let new = json!(ModelEntry::of(fixtures::model("new", Protocol::Converse)));
        registry.data().entries.insert((Kind::Model, model("new")), new);
        registry
    }

    fn set_end(registry: &InMemoryRegistry, retires_on: Option<&str>) {
        let mut old = fixtures::model("old", Protocol::Converse);
        old.end_of_life = retires_on.map(|day| EndOfLife {
            retires_on: Some(day.parse().unwrap()),
            successor: Some(model("new")),
            ..EndOfLife::default()
        });
        registry.data().entries.insert((Kind::Model, model("old")), json!(ModelEntry::of(old)));
    }

    fn lob(table: &FakeTable, id: &str, models: Option<&[&str]>) {
        let document = LobDocument {
            name: id.to_owned(),
            contact: None,
            tags: [].into(),
            models: models.map(ids),
            status: Status::Active,
        };
        let state = LobState { version: 1, document, is_changing: false };
        table.data().lobs.insert(id.parse().unwrap(), state);
    }

    fn tenant(table: &FakeTable, lob: &str, id: &str, models: &[&str]) {
        let mut document = TenantDocument::new(id, lob.parse().unwrap());
        document.models = ids(models);
        let state = TenantState {
            version: 1,
            status: Status::Active,
            suspension: None,
            document,
            is_changing: false,
        };
        table.data().tenants.insert(id.parse().unwrap(), state);
    }

    fn told(sink: &InMemorySink) -> Vec<String> {
        let line = |event: &events::Event| {
            let detail = &event.detail;
            let may = if detail["may_call_successor"] == true { "+" } else { "-" };
            format!("{}{may}", detail["tenant_id"].as_str().unwrap())
        };
        sink.taken().iter().map(line).collect()
    }

    #[tokio::test]
    async fn whoever_may_call_it_is_told_once() {
        let (registry, table, sink) =
            (registry("2026-12-20"), FakeTable::default(), InMemorySink::default());
        lob(&table, "markets", Some(&["old"]));
        lob(&table, "retail", None);
        lob(&table, "treasury", Some(&["new"]));
        tenant(&table, "retail", "acme", &["old", "new"]);
        tenant(&table, "retail", "bank", &["old"]);
        tenant(&table, "retail", "core", &["new"]);
        tenant(&table, "markets", "desk", &["old", "new"]);
        // Its line of business calls another one only.
        tenant(&table, "treasury", "fund", &["old", "new"]);
        assert_eq!(tell(&registry, &table, &sink, now, LATER).await.unwrap(), 3);
        assert_eq!(told(&sink), ["desk-", "acme+", "bank-"]);
        assert_eq!(tell(&registry, &table, &sink, now, LATER).await.unwrap(), 0);
        // Another date is news; the same one again, after there was none, as well.
        set_end(&registry, Some("2026-12-21"));
        assert_eq!(tell(&registry, &table, &sink, now, LATER).await.unwrap(), 3);
        set_end(&registry, None);
        assert_eq!(tell(&registry, &table, &sink, now, LATER).await.unwrap(), 0);
        set_end(&registry, Some("2026-12-21"));
        assert_eq!(tell(&registry, &table, &sink, now, LATER).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn whoever_was_not_told_is_told_by_the_next_run() {
        let (registry, table, sink) =
            (registry("2026-12-20"), FakeTable::default(), InMemorySink::default());
        for of in ["markets", "retail"] {
            lob(&table, of, None);
            for number in 0..PAGE + 20 {
                tenant(&table, of, &format!("{of}-{number:03}"), &["old"]);
            }
        }
        sink.refuse("retail-050");
        assert!(tell(&registry, &table, &sink, now, LATER).await.is_err());
        sink.refuse("");
        // No time: nothing, and nothing forgotten.
        assert_eq!(tell(&registry, &table, &sink, now, now()).await.unwrap(), 0);
        // Those of the page that was not noted come again, under the same ids.
        assert_eq!(tell(&registry, &table, &sink, now, LATER).await.unwrap(), PAGE + 20);
        let taken: Vec<String> = sink.taken().into_iter().map(|event| event.id).collect();
        let all: BTreeSet<_> = taken.iter().collect();
        assert_eq!((all.len(), taken.len()), (2 * (PAGE + 20), 2 * (PAGE + 20) + PAGE - 1));
        assert_eq!(tell(&registry, &table, &sink, now, LATER).await.unwrap(), 0);
    }
}
