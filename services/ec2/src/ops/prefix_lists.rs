//! Managed prefix lists.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::{Result as Reply, Struct};

use crate::cidr::Cidr;
use crate::describe::{Query, chosen, query};
use crate::errors::{Refusal, Result};
use crate::model::endpoint::{SERVICES, blocks, prefix_list, service_name};
use crate::model::group::{GroupRow, Peer};
use crate::model::prefix_list::{Entries, KIND, PrefixListRow};
use crate::resource::{Described as _, Find as _, Here, arn};
use crate::state::{Change, Ec2};
use crate::tags;

/// The most entries of a list.
const MAX: i32 = 1000;
/// The most entries that one request may add or remove.
const MAX_CHANGES: usize = 100;
/// The most lists of an account in a region.
const MAX_LISTS: usize = 100;
/// The most versions of a list that are kept.
const MAX_VERSIONS: usize = 1000;

pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateManagedPrefixListRequest,
) -> Reply<t::CreateManagedPrefixListResult> {
    let tags = tags::on_create(&KIND, &input.tag_specifications)?;
    match input.address_family.as_str() {
        "IPv4" => {}
        "IPv6" => Err(Refusal::NotImplemented("AddressFamily = IPv6".into()))?,
        other => Err(Refusal::wrong("AddressFamily", other))?,
    }
    nameable(&input.prefix_list_name)?;
    countable(input.max_entries)?;
    let mut entries = Entries::new();
    add(&mut entries, input.entries.as_deref().unwrap_or_default())?;
    fits(&entries, input.max_entries)?;
    let token = input.client_token.as_deref();
    let request = ("CreateManagedPrefixList", &input as &dyn Struct);
    let ids = ec2
        .write_once(&cx, input.dry_run, token, request, |w| {
            if w.all::<PrefixListRow>()?.len() >= MAX_LISTS {
                return Err(Refusal::limit("PrefixListLimitExceeded", "prefix lists"));
            }
            let row = PrefixListRow {
                meta: w.here.new_meta(&KIND, tags.clone()),
                name: input.prefix_list_name.clone(),
                most: input.max_entries,
                versions: vec![entries.clone()],
                modified: false,
            };
            w.put(&row)?;
            Ok(vec![row.meta.id])
        })
        .await?;
    Ok(t::CreateManagedPrefixListResult {
        prefix_list: ec2.shown::<PrefixListRow>(&cx, &ids).await?,
    })
}

fn nameable(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > 255 || name.starts_with("com.amazonaws") {
        return Err(Refusal::wrong("PrefixListName", name));
    }
    Ok(())
}

fn countable(most: i32) -> Result<()> {
    if (1..=MAX).contains(&most) {
        return Ok(());
    }
    Err(Refusal::wrong("MaxEntries", most))
}

fn fits(entries: &Entries, most: i32) -> Result<()> {
    if usize::try_from(most).is_ok_and(|most| entries.len() <= most) {
        return Ok(());
    }
    Err(Refusal::new(
        "PrefixListMaxEntriesExceeded",
        format!(
            "The prefix list would hold {} entries, and at most {most} are allowed.",
            entries.len()
        ),
    ))
}

/// A block as rules compare it.
fn block(text: &str) -> Result<String> {
    let cidr: Result<Cidr, _> = text.parse();
    let cidr = cidr.map_err(|_| Refusal::value(format!("CIDR block {text} is malformed")))?;
    Ok(cidr.to_string())
}

fn add(entries: &mut Entries, more: &[t::AddPrefixListEntry]) -> Result<()> {
    bounded(more.len())?;
    let mut seen = std::collections::BTreeSet::new();
    for entry in more {
        let text = entry.description.clone().unwrap_or_default();
        if text.len() > 255 {
            return Err(Refusal::wrong("Description", text));
        }
        let cidr = block(&entry.cidr)?;
        if !seen.insert(cidr.clone()) {
            return Err(Refusal::value(format!(
                "The CIDR {cidr} is given more than once."
            )));
        }
        entries.insert(cidr, text);
    }
    Ok(())
}

fn bounded(changes: usize) -> Result<()> {
    if changes > MAX_CHANGES {
        return Err(Refusal::value(format!(
            "At most {MAX_CHANGES} entries can be changed at once."
        )));
    }
    Ok(())
}

pub(crate) async fn modify(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ModifyManagedPrefixListRequest,
) -> Reply<t::ModifyManagedPrefixListResult> {
    let gone = input.remove_entries.as_deref().unwrap_or_default();
    let more = input.add_entries.as_deref().unwrap_or_default();
    bounded(gone.len())?;
    if let Some(name) = &input.prefix_list_name {
        nameable(name)?;
    }
    input.max_entries.map(countable).transpose()?;
    let shape = ec2
        .write(&cx, input.dry_run, |w| {
            let mut row = own(w, &input.prefix_list_id)?;
            let changes = !gone.is_empty() || !more.is_empty();
            if changes {
                current(&row, input.current_version)?;
            }
            let mut entries = row.entries();
            for entry in gone {
                let cidr = block(&entry.cidr)?;
                entries.remove(&cidr).ok_or_else(|| {
                    Refusal::value(format!("The CIDR {cidr} is not in the prefix list."))
                })?;
            }
            add(&mut entries, more)?;
            row.most = input.max_entries.unwrap_or(row.most);
            fits(&entries, row.most)?;
            if changes {
                if row.versions.len() >= MAX_VERSIONS {
                    return Err(Refusal::limit(
                        "PrefixListVersionLimitExceeded",
                        "versions of a prefix list",
                    ));
                }
                row.versions.push(entries);
            }
            if let Some(name) = &input.prefix_list_name {
                row.name.clone_from(name);
            }
            row.modified = true;
            w.put(&row)?;
            w.show(&row)
        })
        .await?;
    Ok(t::ModifyManagedPrefixListResult {
        prefix_list: Some(shape),
    })
}

/// Whoever changes entries says which version is meant to be changed.
fn current(row: &PrefixListRow, version: Option<i64>) -> Result<()> {
    match version {
        None => Err(Refusal::missing("CurrentVersion")),
        Some(version) if version == row.version() => Ok(()),
        Some(version) => Err(Refusal::new(
            "PrefixListVersionMismatch",
            format!(
                "The prefix list has the version {}, not {version}.",
                row.version()
            ),
        )),
    }
}

/// A list of the account's; those of services are nobody's to change.
fn own(w: &Change<'_>, id: &str) -> Result<PrefixListRow> {
    if service_of(w.here, id).is_some() {
        return Err(Refusal::denied(format!(
            "The prefix list {id} is managed by AWS."
        )));
    }
    w.need(id)
}

fn service_of(here: &Here, id: &str) -> Option<&'static str> {
    let mut services = SERVICES.into_iter();
    services.find(|service| prefix_list(&here.region, service) == id)
}

pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteManagedPrefixListRequest,
) -> Reply<t::DeleteManagedPrefixListResult> {
    let id = &input.prefix_list_id;
    let mut shape = ec2
        .write(&cx, input.dry_run, |w| {
            let row = own(w, id)?;
            let groups = w.all::<GroupRow>()?;
            let mut rules = groups.iter().flat_map(|group| &group.rules);
            if rules.any(|rule| matches!(&rule.what.peer, Peer::PrefixList(named) if named == id)) {
                return Err(Refusal::in_use("prefix list", id));
            }
            w.delete(&row)?;
            w.show(&row)
        })
        .await?;
    shape.state = Some("delete-complete".into());
    Ok(t::DeleteManagedPrefixListResult {
        prefix_list: Some(shape),
    })
}

/// The account's lists, and those of services.
pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeManagedPrefixListsRequest,
) -> Reply<t::DescribeManagedPrefixListsResult> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let wanted = input.prefix_list_ids.clone().unwrap_or_default();
    let all = wanted.is_empty();
    let (services, own): (Vec<_>, Vec<_>) = wanted
        .into_iter()
        .partition(|id| service_of(&here, id).is_some());
    let mut shapes = Vec::new();
    for service in SERVICES {
        let shape = of_service(&here, service);
        let id = shape.prefix_list_id.clone().unwrap_or_default();
        if all || services.contains(&id) {
            shapes.push((id, shape));
        }
    }
    if all || !own.is_empty() {
        for row in chosen::<PrefixListRow>(&snapshot, &here, Some(&own))? {
            shapes.push((row.meta.id.clone(), row.shape(&snapshot, &ec2.names)?));
        }
    }
    shapes.sort_by(|a, b| a.0.cmp(&b.0));
    let query = query!("DescribeManagedPrefixLists", input, prefix_list_ids);
    let shapes = shapes.into_iter().map(Ok);
    let page = ec2.page(&cx, query, PrefixListRow::FILTERS, shapes)?;
    Ok(t::DescribeManagedPrefixListsResult {
        next_token: page.next,
        prefix_lists: Some(page.items),
    })
}

fn of_service(here: &Here, service: &str) -> t::ManagedPrefixList {
    let id = prefix_list(&here.region, service);
    let name = service_name(&here.region, service);
    t::ManagedPrefixList {
        prefix_list_arn: Some(arn(&KIND, &here.region, &here.account, &id).to_string()),
        prefix_list_id: Some(id),
        address_family: Some("IPv4".into()),
        state: Some("create-complete".into()),
        prefix_list_name: Some(name),
        owner_id: Some("AWS".into()),
        tags: Some(Vec::new()),
        ..Default::default()
    }
}

pub(crate) async fn entries(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::GetManagedPrefixListEntriesRequest,
) -> Reply<t::GetManagedPrefixListEntriesResult> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let id = &input.prefix_list_id;
    let entries = match service_of(&here, id) {
        Some(_) => {
            let blocks = blocks(&here.region, id);
            let entry = |block: Cidr| (block.to_string(), String::new());
            blocks.into_iter().map(entry).collect()
        }
        None => {
            let row = snapshot.need::<PrefixListRow>(&here, id)?;
            let version = input.target_version.unwrap_or(row.version());
            let index = usize::try_from(version)
                .ok()
                .and_then(|it| it.checked_sub(1));
            let entries = index.and_then(|index| row.versions.get(index)).cloned();
            entries.ok_or_else(|| Refusal::wrong("TargetVersion", version))?
        }
    };
    let asked = vec![id.clone(), input.target_version.unwrap_or(0).to_string()];
    let query = Query {
        operation: "GetManagedPrefixListEntries",
        ids: Some(&asked),
        filters: None,
        max: input.max_results,
        token: input.next_token.as_deref(),
        dry_run: input.dry_run,
    };
    let shapes = entries.into_iter().map(|(cidr, description)| {
        let shape = t::PrefixListEntry {
            cidr: Some(cidr.clone()),
            description: (!description.is_empty()).then_some(description),
        };
        Ok((cidr, shape))
    });
    let page = ec2.page(&cx, query, &[], shapes)?;
    Ok(t::GetManagedPrefixListEntriesResult {
        entries: Some(page.items),
        next_token: page.next,
    })
}
