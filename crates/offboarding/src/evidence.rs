//! What was done, written down so that others can check it: canonical JSON, signed by a key that can
//! only sign.

use std::collections::BTreeMap;

use audit::{ChainId, ChainStore as _, canonical, sha256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::class::{Class, RULES};
use crate::error::OffboardError;
use crate::export;
use crate::inventory::{Doomed, Kept, Part, class_of, merge, part_name, rule_of};
use crate::job::{Job, Progress};
use crate::papers::Papers;
use crate::port::{Outside, Register as _, Signer as _, Store};
use crate::purge::Purged;
use crate::revoke::Taken;
use crate::statement;

/// The version of what evidence says.
pub const SCHEMA_VERSION: u32 = 1;

const EVIDENCE: &str = "evidence.json";
const SIGNATURE: &str = "evidence.sig";
const PUBLIC_KEY: &str = "evidence.pub.pem";

pub(crate) async fn write(world: &impl Outside, job: &Job) -> Result<Progress, OffboardError> {
    let papers = Papers::of(world.papers(), job)?;
    let key = world.signer().public_key().await?;
    let evidence = if let Some(evidence) = papers.bytes(EVIDENCE).await? {
        evidence
    } else {
        let value = gather(world, job, &papers, &key).await?;
        let text = canonical(&value).ok_or_else(|| OffboardError::Unreadable {
            key: papers.key(EVIDENCE),
            source: "a number in it is not whole".into(),
        })?;
        papers.once(EVIDENCE, text.into(), "application/json").await?
    };
    papers.once(PUBLIC_KEY, pem(&key).into(), "application/x-pem-file").await?;
    if papers.bytes(SIGNATURE).await?.is_none() {
        let signature = world.signer().sign(&evidence).await?;
        papers.once(SIGNATURE, signature.into(), "application/octet-stream").await?;
    }
    papers.forget_all("working/").await?;
    Ok(Progress::Done)
}

/// Everything that the papers know.
async fn gather(
    world: &impl Outside,
    job: &Job,
    papers: &Papers<'_, impl lake::ObjectStore>,
    key: &[u8],
) -> Result<Value, OffboardError> {
    let taken = Taken::of(papers).await?;
    let mut resources = Resources::default();
    let mut number = 0;
    loop {
        let name = |store, page| part_name("inventory", number, store, page);
        if papers.bytes(&name(Store::ALL[0], 0)).await?.is_none() {
            break;
        }
        for store in Store::ALL {
            let mut page = 0;
            while let Some(part) = papers.read::<Part>(&name(store, page)).await? {
                let purged = part_name("purged", number, store, page);
                if !part.doomed.is_empty() {
                    let purged: Purged = papers.need(&purged).await?;
                    resources.deleted(part.doomed, &purged);
                }
                resources.kept(part.kept, number);
                page += 1;
            }
        }
        number += 1;
    }
    let chain = ChainId::Tenant(job.tenant_id.clone());
    let head = world.chains().head(&chain).await?;
    let tombstone = world.register().tombstone(&job.tenant_id).await?;
    let asked = statement::asked(papers).await?;
    let (resources, counts) = resources.finish();
    Ok(json!({
        "object": "offboarding_evidence",
        "schema_version": SCHEMA_VERSION,
        "tenant_id": job.tenant_id,
        "lob_id": taken.lob_id,
        "task_id": job.task_id,
        "requested_by": job.requested_by,
        "requested_at": job.requested_at,
        "revoked_at": taken.revoked_at,
        "deletion_began_at": tombstone.map(|it| it.since),
        "finished_at": world.now(),
        "clients": taken.whose(&job.tenant_id).clients,
        "places": world.places(),
        "rules": RULES,
        "classes": classes(),
        "resources": resources,
        "counts": counts,
        "exports": export::exported(papers).await?,
        "open_month": { "period": asked.period, "draft": asked.draft },
        "lake": {
            "class": Class::Financial,
            "action": "retained",
            "until": "for ever: files of the lake hold the usage of all tenants and are written again from the ledger",
        },
        "audit_chain": { "chain": chain, "sequence": head.sequence, "hash": head.hash },
        "signing": {
            "algorithm": "ECDSA_SHA_256",
            "key": world.places().signing_key,
            "public_key_sha256": sha256(key),
        },
    }))
}

fn classes() -> Value {
    let class = |it: Class| {
        let action = if it.is_deleted() { "deleted" } else { "retained" };
        (it.as_str().to_owned(), json!({ "action": action, "reason": it.reason() }))
    };
    Value::Object(Class::ALL.into_iter().map(class).collect())
}

/// What is listed, by where it is and what it is called, so that it is listed once.
#[derive(Debug, Default)]
struct Resources {
    deleted: BTreeMap<(Store, String, String), Value>,
    kept: Vec<Kept>,
    /// What later lists have found of what is kept: more of it may have come.
    later: Vec<(u32, Kept)>,
}

impl Resources {
    fn deleted(&mut self, doomed: Vec<Doomed>, purged: &Purged) {
        for Doomed { kind, found } in doomed {
            let is_personal = rule_of(found.store, &kind).is_some_and(|rule| rule.is_personal);
            let mut resource = Map::new();
            resource.insert("kind".into(), kind.clone().into());
            resource.insert("store".into(), json!(found.store));
            resource.insert("place".into(), found.place.clone().into());
            if is_personal {
                resource.insert("name_sha256".into(), sha256(found.name.as_bytes()).into());
            } else {
                resource.insert("name".into(), found.name.clone().into());
            }
            resource.insert("class".into(), json!(class_of(found.store, &kind)));
            resource.insert("action".into(), "deleted".into());
            resource.insert("absent_at".into(), json!(purged.absent_at));
            self.deleted.insert((found.store, found.place, found.name), Value::Object(resource));
        }
    }

    fn kept(&mut self, kept: Vec<Kept>, round: u32) {
        self.later.extend(kept.into_iter().map(|it| (round, it)));
    }

    /// Each resource, and how many there are of each class.
    fn finish(mut self) -> (Vec<Value>, Value) {
        // The last list is the one that counts: each has all that is kept.
        let last = self.later.iter().map(|(round, _)| *round).max();
        for (_, kept) in self.later.into_iter().filter(|(round, _)| Some(*round) == last) {
            merge(&mut self.kept, kept);
        }
        self.kept.sort_by(|a, b| {
            (a.store, &a.place, &a.kind, &a.name).cmp(&(b.store, &b.place, &b.kind, &b.name))
        });
        let mut counts: BTreeMap<&str, (u64, u64)> =
            Class::ALL.into_iter().map(|class| (class.as_str(), (0, 0))).collect();
        for ((store, _, _), resource) in &self.deleted {
            let kind = resource.get("kind").and_then(Value::as_str).unwrap_or_default();
            counts.entry(class_of(*store, kind).as_str()).or_default().0 += 1;
        }
        let mut resources: Vec<Value> = self.deleted.into_values().collect();
        for kept in self.kept {
            let class = class_of(kept.store, &kept.kind);
            counts.entry(class.as_str()).or_default().1 += kept.count;
            let until = rule_of(kept.store, &kept.kind).map_or("", |rule| rule.until);
            resources.push(json!({
                "kind": kept.kind,
                "store": kept.store,
                "place": kept.place,
                "name": kept.name,
                "count": kept.count,
                "class": class,
                "action": "retained",
                "until": until,
                "expires_at": kept.expires_at,
            }));
        }
        let counts = counts
            .into_iter()
            .map(|(class, (deleted, retained))| {
                (class.to_owned(), json!({ "deleted": deleted, "retained": retained }))
            })
            .collect();
        (resources, Value::Object(counts))
    }
}

/// A public key as `openssl` reads it.
fn pem(der: &[u8]) -> String {
    let mut text = "-----BEGIN PUBLIC KEY-----\n".to_owned();
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text + "-----END PUBLIC KEY-----\n"
}
