//! What operations ask of the policy engine: the action, on each resource that it touches.
//!
//! Service Authorization Reference, "Actions, resources, and condition keys for Amazon EC2".

use gureum_dispatch::{Ask, Cx};
use gureum_kit::Arn;
use gureum_model_ec2::types as t;

use crate::images;
use crate::model::instance::InstanceRow;
use crate::model::launch_template::LaunchTemplateRow;
use crate::model::volume::VolumeRow;
use crate::model::vpc;
use crate::reconcile::volumes::attached;
use crate::resource::{Find, Here, Kind, Resource, Tags, arn};
use crate::state::Ec2;

/// Collects the asks of one call.
pub(crate) struct Asks<'a> {
    ec2: &'a Ec2,
    cx: &'a Cx,
    action: &'static str,
    asks: Vec<Ask>,
}

impl<'a> Asks<'a> {
    pub(crate) fn new(ec2: &'a Ec2, cx: &'a Cx, action: &'static str) -> Self {
        Self {
            ec2,
            cx,
            action,
            asks: Vec::new(),
        }
    }

    /// A resource that is to be made, and the tags that it is to begin with: setting them needs
    /// `ec2:CreateTags` as well.
    pub(crate) fn creates(mut self, kind: &Kind, tags: &Option<Vec<t::TagSpecification>>) -> Self {
        let resource = arn(kind, &self.cx.region, self.cx.account(), "*");
        let tags = specified(kind, tags);
        let ask = self
            .ask(self.action, resource.clone())
            .request_tags(tags.clone());
        self.asks.push(ask);
        self.sets(&resource, tags)
    }

    /// The tags of what is made inside of another resource, like a rule in its group.
    pub(crate) fn tags_new(self, kind: &Kind, tags: &Option<Vec<t::TagSpecification>>) -> Self {
        let resource = arn(kind, &self.cx.region, self.cx.account(), "*");
        let tags = specified(kind, tags);
        self.sets(&resource, tags)
    }

    fn sets(mut self, resource: &Arn, tags: Vec<(&str, &str)>) -> Self {
        if !tags.is_empty() {
            let operation = self.action.trim_start_matches("ec2:");
            let ask = self.ask("ec2:CreateTags", resource);
            let ask = ask.request_tags(tags).key("ec2:CreateAction", operation);
            self.asks.push(ask);
        }
        self
    }

    /// A resource that is there; of one that isn't, only the ARN is known.
    pub(crate) fn on<R: Resource>(mut self, id: &str) -> Self {
        let here = Here::of(self.cx);
        let resource = arn(R::KIND, &self.cx.region, self.cx.account(), id);
        let ask = self.ask(self.action, resource);
        let found = self.ec2.store.read().find::<R>(&here, id);
        let ask = match found {
            Ok(Some(row)) => tagged(ask, &row.meta().tags).key_opt(
                "ec2:Vpc",
                row.vpc()
                    .map(|id| arn(&vpc::KIND, &here.region, &here.account, id)),
            ),
            // The handler will say what is wrong with it.
            _ => ask,
        };
        self.asks.push(ask);
        self
    }

    pub(crate) fn on_opt<R: Resource>(self, id: &Option<String>) -> Self {
        match id {
            Some(id) => self.on::<R>(id),
            None => self,
        }
    }

    pub(crate) fn on_all<R: Resource>(self, ids: &[String]) -> Self {
        ids.iter().fold(self, |asks, id| asks.on::<R>(id))
    }

    /// An instance and its volumes.
    pub(crate) fn on_volumes_of(self, instance: &str) -> Self {
        let here = Here::of(self.cx);
        let volumes = attached(&self.ec2.store.read(), &here, instance);
        let ids = volumes.unwrap_or_default().into_iter();
        let ids: Vec<String> = ids.map(|row| row.meta.id).collect();
        self.on::<InstanceRow>(instance).on_all::<VolumeRow>(&ids)
    }

    /// A launch template, by its id or by its name.
    pub(crate) fn on_template(self, id: &Option<String>, name: &Option<String>) -> Self {
        let here = Here::of(self.cx);
        let (id, name) = (id.as_deref(), name.as_deref());
        let found = LaunchTemplateRow::named(&self.ec2.store.read(), &here, id, name);
        let found = found.map(|row| row.meta.id).ok();
        self.on::<LaunchTemplateRow>(found.as_deref().or(id).unwrap_or("*"))
    }

    /// A new image, with its tags.
    pub(crate) fn creates_image(self, tags: &Option<Vec<t::TagSpecification>>) -> Self {
        let resource = arn(&images::KIND, &self.cx.region, self.cx.account(), "*");
        let tags = specified(&images::KIND, tags);
        self.on_image(Some("*")).sets(&resource, tags)
    }

    /// An image, which belongs to nobody's account.
    pub(crate) fn on_image(mut self, id: Option<&str>) -> Self {
        if let Some(id) = id {
            let resource = format!("arn:aws:ec2:{}::image/{id}", self.cx.region);
            let ask = self.ask(self.action, resource);
            self.asks.push(ask);
        }
        self
    }

    fn ask(&self, action: &'static str, resource: impl ToString) -> Ask {
        Ask::new(action, resource).key("ec2:Region", &self.cx.region)
    }

    /// Actions that know no resource are asked about `*`.
    pub(crate) fn finish(mut self) -> Vec<Ask> {
        if self.asks.is_empty() {
            let ask = self.ask(self.action, "*");
            self.asks.push(ask);
        }
        self.asks
    }
}

/// The tags that a request sets on what it makes of this kind.
fn specified<'t>(
    kind: &Kind,
    specs: &'t Option<Vec<t::TagSpecification>>,
) -> Vec<(&'t str, &'t str)> {
    let specs = specs.iter().flatten();
    let mine = specs.filter(|spec| spec.resource_type.as_deref() == Some(kind.name));
    pairs(mine.flat_map(|spec| spec.tags.iter().flatten()))
}

/// The resource's tags, under both names that policies know them by.
pub(crate) fn tagged(ask: Ask, tags: &Tags) -> Ask {
    let pairs = tags
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    let ask = ask.resource_tags(pairs);
    tags.iter().fold(ask, |ask, (key, value)| {
        ask.key(format!("ec2:ResourceTag/{key}"), value)
    })
}

/// Tags as pairs of texts.
pub(crate) fn pairs<'a>(tags: impl Iterator<Item = &'a t::Tag>) -> Vec<(&'a str, &'a str)> {
    tags.map(|tag| {
        let value = tag.value.as_deref().unwrap_or_default();
        (tag.key.as_deref().unwrap_or_default(), value)
    })
    .collect()
}
