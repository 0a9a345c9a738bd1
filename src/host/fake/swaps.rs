//! Swaps on a fake host: it carries them out alone, so a process that dies leaves at most a container that was made for it.

use crate::base::NodeName;
use crate::host::HostError;
use crate::host::swap::{Probe, Replacement, Swap, next_name};
use crate::state::{ContainerSpec, ObservedContainer, ObservedSwap};

use super::changes::{create_as, put, start, stop, with_unit, write};
use super::machine::Machine;

/// Makes the whole change, or only what a host is told beforehand.
pub(super) fn replace(node: &NodeName, machine: &mut Machine, swap: &Swap, half: bool) -> Result<(), HostError> {
    let (host, operation) = (node.clone(), format!("replacing {}", swap.replacement.name()));
    let name = swap.replacement.name().to_owned();
    let refused = |reason| HostError::Refused { host: node.clone(), operation: operation.clone(), reason };
    settle(machine, &name);
    let ended = match &swap.replacement {
        Replacement::Container(spec) | Replacement::BesideOld(spec) => {
            let is_as_made = |seen: &ObservedContainer| seen.label == label(spec) && seen.irregularities.is_empty();
            let is_there = machine.state.containers.get(&name).is_some_and(is_as_made);
            if swap.reads.is_empty() && is_there {
                return Ok(());
            }
            create_as(machine, spec, &next_name(&name)).map_err(refused)?;
            if half {
                return Ok(());
            }
            exchange(machine, spec).map_err(refused)?
        }
        Replacement::Unit { .. } | Replacement::Service(_) if half => return Ok(()),
        Replacement::Unit { .. } => exchange_unit(machine, swap).map_err(refused)?,
        Replacement::Service(unit) if machine.failing.contains(unit) => Ended::Reverted,
        Replacement::Service(unit) => {
            with_unit(machine, unit, false, true).map_err(refused)?;
            Ended::Done
        }
    };
    let reason = "it ends by itself, 3 times so far".to_owned();
    let log = vec![format!("{name} of this version fails here")];
    match ended {
        Ended::Done => {
            swap.reads.iter().chain(&swap.files).try_for_each(|file| write(machine, file)).map_err(refused)?;
            Ok(())
        }
        Ended::Reverted => {
            machine.state.swaps.insert(name, ObservedSwap::Reverted(reason.clone()));
            Err(HostError::Reverted { host, operation, reason, log })
        }
        Ended::Neither => {
            machine.state.swaps.insert(name, ObservedSwap::NeitherWorks(reason.clone()));
            Err(HostError::NeitherWorks { host, operation, reason, log })
        }
    }
}

/// Ends what a test says was interrupted, and forgets what is told of an earlier swap.
pub(super) fn settle(machine: &mut Machine, name: &str) {
    machine.state.swaps.remove(name);
    let next = next_name(name);
    if machine.state.containers.get(&next).is_some_and(|seen| !seen.running) {
        machine.state.containers.remove(&next);
    }
}

enum Ended {
    Done,
    Reverted,
    Neither,
}

fn label(spec: &ContainerSpec) -> Option<String> {
    Some(spec.digest().as_str().to_owned())
}

fn exchange(machine: &mut Machine, spec: &ContainerSpec) -> Result<Ended, String> {
    let (name, next) = (spec.name.as_str(), next_name(&spec.name));
    let Some(old) = machine.state.containers.get(name) else { return Err(format!("there is no container {name}")) };
    let old_fails = machine.failing.contains(&old.spec.image.reference.0);
    stop(machine, name);
    if !machine.failing.contains(&spec.image.reference.0) {
        start(machine, &next)?;
        if let Some(mut new) = machine.state.containers.remove(&next) {
            name.clone_into(&mut new.name);
            name.clone_into(&mut new.spec.name);
            machine.state.containers.insert(name.to_owned(), new);
        }
        return Ok(Ended::Done);
    }
    machine.state.containers.remove(&next);
    start(machine, name)?;
    Ok(if old_fails { Ended::Neither } else { Ended::Reverted })
}

/// A unit fails where the version that its Node must show is one that does.
fn exchange_unit(machine: &mut Machine, swap: &Swap) -> Result<Ended, String> {
    let Replacement::Unit { name, unit_file, links } = &swap.replacement else { return Ok(Ended::Done) };
    let fails = |probe: &Probe| matches!(probe, Probe::Node { version, .. } if machine.failing.contains(version));
    if swap.proof.probes.iter().any(fails) {
        return Ok(Ended::Reverted);
    }
    put(machine, (&[], std::slice::from_ref(unit_file), links), false)?;
    with_unit(machine, name, false, true)?;
    Ok(Ended::Done)
}
