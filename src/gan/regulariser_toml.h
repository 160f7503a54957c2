// Augmentation, instance noise, packing and accumulation in a configuration file.
#pragma once

#include "src/gan/table_reader.h"

#include <ganforge/gan.h>

namespace ganforge {

/// augment = ["color", "translation", "cutout"], augment_probability, instance_noise, their decays, pack, accumulate.
void read_regularisers(TableReader& reader, const std::string& source, TrainerOptions& options);
/// Those that are not as by default, a line each.
std::string toml_regularisers(const TrainerOptions& options);
/// Throws ConfigError that begins with the key. Of the gradients' norms too.
void validate_regularisers(const TrainerOptions& options);

}  // namespace ganforge
