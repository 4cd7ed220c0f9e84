// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Several datacenters whose IMGAPIs know each other.

use super::{Datacenter, DatacenterBuilder, DatacenterError, Ports};

/// How many datacenters a cloud may have.
const MAX: usize = 16;

/// A running cloud: each datacenter has all its services, and all have the same accounts.
#[derive(Debug)]
pub struct Cloud {
    datacenters: Vec<Datacenter>,
}

/// A cloud to be started.
#[derive(Debug, Clone)]
pub struct CloudBuilder {
    template: DatacenterBuilder,
    names: Vec<String>,
    ports: Ports,
}

impl Cloud {
    /// Datacenters of these names that are all like `template`, but for their names, directories and ports. At most 16.
    pub fn builder(template: DatacenterBuilder, names: impl IntoIterator<Item = String>) -> CloudBuilder {
        CloudBuilder { template, names: names.into_iter().take(MAX).collect(), ports: Ports::Auto }
    }

    /// The datacenters, in the order of their names in the builder.
    pub fn datacenters(&self) -> &[Datacenter] {
        &self.datacenters
    }

    /// The same, to be changed.
    pub fn datacenters_mut(&mut self) -> &mut [Datacenter] {
        &mut self.datacenters
    }

    /// Stops all.
    pub async fn stop(self) {
        for datacenter in self.datacenters {
            datacenter.stop().await;
        }
    }
}

impl CloudBuilder {
    /// How ports are chosen: free ones, or those of one datacenter after those of the other.
    #[must_use]
    pub fn ports(mut self, ports: Ports) -> Self {
        self.ports = ports;
        self
    }

    /// Starts all, one after the other.
    ///
    /// # Errors
    ///
    /// As [`DatacenterBuilder::start`].
    pub async fn start(self) -> Result<Cloud, DatacenterError> {
        let mut places = Vec::new();
        for (index, name) in (0_u16..).zip(&self.names) {
            places.push((name, self.ports.of_datacenter(index)?.choose().await?));
        }
        let mut cloud = Cloud { datacenters: Vec::new() };
        for (name, addresses) in &places {
            let mut builder = self.template.clone().name(name.as_str());
            if self.names.len() > 1 {
                builder = builder.below_data_dir(name);
            }
            for (other, at) in places.iter().filter(|(other, _)| other != name) {
                builder = builder.peer(other.as_str(), format!("http://{}", at.imgapi));
            }
            match builder.start_at(*addresses).await {
                Ok(datacenter) => cloud.datacenters.push(datacenter),
                Err(error) => {
                    cloud.stop().await;
                    return Err(error);
                }
            }
        }
        Ok(cloud)
    }
}
