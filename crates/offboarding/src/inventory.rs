//! All that there is of a tenant, by listing every store to its end, and the class of each thing.
//!
//! What is found is written down page by page before anything is deleted: a job that was killed goes on
//! where the papers end, and nothing that it has deleted is missing from the evidence. After the first
//! round of lists there is another behind every deletion, until one finds nothing.

use lake::ObjectStore;
use serde::{Deserialize, Serialize};

use crate::class::{Class, RULES, Rule, classify};
use crate::error::OffboardError;
use crate::job::{Job, Progress};
use crate::papers::{Papers, folder};
use crate::port::{Estate as _, Found, Outside, Store, Whose};
use crate::revoke::Taken;

const INVENTORY: &str = "working/inventory/";
const WALKS: &str = "working/walk/";

/// Something that is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Doomed {
    /// What kind of thing.
    pub(crate) kind: String,
    /// What it is.
    pub(crate) found: Found,
}

/// Something that is kept, or all of a kind in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// What kind of thing.
    pub(crate) kind: String,
    /// Where.
    pub(crate) store: Store,
    /// The partition.
    pub(crate) place: String,
    /// What it is called; nothing if they are counted.
    pub(crate) name: Option<String>,
    /// How many there are.
    pub(crate) count: u64,
    /// When the last of them goes by itself, in Unix seconds.
    pub(crate) expires_at: Option<i64>,
}

/// A page of what was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Part {
    /// What is to go.
    pub(crate) doomed: Vec<Doomed>,
    /// What stays.
    pub(crate) kept: Vec<Kept>,
    /// Where the next page begins.
    next: Option<String>,
}

/// The name of a page among the papers.
pub(crate) fn part_name(folder: &str, round: u32, store: Store, page: u32) -> String {
    format!("working/{folder}/{round:02}/{}-{page:06}.json", store.as_str())
}

/// One list of everything.
pub(crate) struct Round<'a, W: Outside> {
    world: &'a W,
    papers: &'a Papers<'a, W::Papers>,
    whose: Whose,
    own_papers: String,
    number: u32,
}

impl<'a, W: Outside> Round<'a, W> {
    pub(crate) fn of(
        world: &'a W,
        job: &Job,
        papers: &'a Papers<'a, W::Papers>,
        taken: &Taken,
        number: u32,
    ) -> Result<Self, OffboardError> {
        let own_papers = folder(&job.tenant_id, &job.task_id)?;
        Ok(Self { world, papers, whose: taken.whose(&job.tenant_id), own_papers, number })
    }

    /// The page of a store that begins at `after`: as it was written down, else as it is now.
    async fn part(
        &self,
        store: Store,
        page: u32,
        after: Option<&str>,
    ) -> Result<Part, OffboardError> {
        let name = part_name("inventory", self.number, store, page);
        if let Some(part) = self.papers.read(&name).await? {
            return Ok(part);
        }
        let listed = self.world.estate().list(&self.whose, store, after).await?;
        let mut part = Part { next: listed.next, ..Part::default() };
        for found in listed.found {
            // The papers of this job are no part of what it is about.
            let is_paper =
                store == Store::StatementsBucket && found.name.starts_with(&self.own_papers);
            if is_paper {
                continue;
            }
            let Some(rule) = classify(&self.whose, &found)? else { continue };
            part.take(rule, found);
        }
        self.papers.decide(&name, &part).await
    }

    /// The next page after those that this was asked for before, with its store and number; none when
    /// all stores were walked through.
    pub(crate) async fn next(
        &self,
        walk: &mut Walk,
    ) -> Result<Option<(Store, u32, Part)>, OffboardError> {
        let Some(store) = Store::ALL.get(walk.store).copied() else { return Ok(None) };
        let page = walk.page;
        let part = self.part(store, page, walk.after.as_deref()).await?;
        if part.next.is_none() {
            *walk = Walk { store: walk.store + 1, page: 0, after: None, doomed: walk.doomed };
        } else {
            (walk.page, walk.after) = (page + 1, part.next.clone());
        }
        Ok(Some((store, page, part)))
    }
}

/// How far a list has come.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Walk {
    store: usize,
    page: u32,
    after: Option<String>,
    /// Things that are to go in what was walked through.
    pub(crate) doomed: usize,
}

impl Walk {
    fn name(of: &str, round: u32) -> String {
        format!("working/walk/{of}-{round:02}.json")
    }

    /// As far as an earlier run came.
    pub(crate) async fn resume(
        papers: &Papers<'_, impl ObjectStore>,
        of: &str,
        round: u32,
    ) -> Result<Self, OffboardError> {
        Ok(papers.read(&Self::name(of, round)).await?.unwrap_or_default())
    }

    /// Notes how far it came.
    pub(crate) async fn pause(
        &self,
        papers: &Papers<'_, impl ObjectStore>,
        of: &str,
        round: u32,
    ) -> Result<(), OffboardError> {
        papers.write(&Self::name(of, round), self).await
    }
}

impl Part {
    fn take(&mut self, rule: &Rule, found: Found) {
        let kind = rule.kind.to_owned();
        if rule.class.is_deleted() {
            self.doomed.push(Doomed { kind, found });
            return;
        }
        let new = Kept {
            kind,
            store: found.store,
            name: (!rule.is_counted).then_some(found.name),
            place: found.place,
            count: 1,
            expires_at: found.expires_at,
        };
        merge(&mut self.kept, new);
    }
}

/// Adds what is kept to what is known to be.
pub(crate) fn merge(all: &mut Vec<Kept>, new: Kept) {
    let is_same = |it: &&mut Kept| {
        (&it.kind, it.store, &it.place, &it.name) == (&new.kind, new.store, &new.place, &new.name)
    };
    match all.iter_mut().rev().find(is_same) {
        // What has a name of its own is one thing, however often it is listed.
        Some(known) if known.name.is_some() => {}
        Some(known) => {
            known.count = known.count.saturating_add(new.count);
            known.expires_at = known.expires_at.max(new.expires_at);
        }
        None => all.push(new),
    }
}

/// The rule of a kind in a store.
pub(crate) fn rule_of(store: Store, kind: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.store == store && rule.kind == kind)
}

/// The class of a kind in a store.
pub(crate) fn class_of(store: Store, kind: &str) -> Class {
    rule_of(store, kind).map_or(Class::Audit, |rule| rule.class)
}

/// Lists everything for the first time: what no class claims stops the job while it can be cancelled.
pub(crate) async fn take(world: &impl Outside, job: &Job) -> Result<Progress, OffboardError> {
    let papers = Papers::of(world.papers(), job)?;
    let taken = Taken::of(&papers).await?;
    let round = Round::of(world, job, &papers, &taken, 0)?;
    let mut walk = Walk::resume(&papers, "inventory", 0).await?;
    loop {
        if round.next(&mut walk).await?.is_none() {
            return Ok(Progress::Done);
        }
        // Behind a page, so that each call gets on by one at least.
        if !world.has_time() {
            walk.pause(&papers, "inventory", 0).await?;
            return Ok(Progress::more());
        }
    }
}

pub(crate) async fn forget(world: &impl Outside, job: &Job) -> Result<Progress, OffboardError> {
    let papers = Papers::of(world.papers(), job)?;
    papers.forget_all(WALKS).await?;
    papers.forget_all(INVENTORY).await?;
    Ok(Progress::Done)
}

/// What is said of a paper that is there.
pub(crate) async fn has(
    papers: &Papers<'_, impl ObjectStore>,
    name: &str,
) -> Result<bool, OffboardError> {
    Ok(papers.bytes(name).await?.is_some())
}
