// Classes and latent codes in a configuration file.
#pragma once

#include "src/gan/table_reader.h"

#include <ganforge/gan.h>

namespace ganforge {

/// classes = ["T-shirt/top", …], classification_weight, and [codes] with categories, continuous and their weights.
void read_conditions(TableReader& parent, const std::string& source, Config& config);
/// Keys of the file itself, and a table that follows the keys.
std::string toml_classes(const Config& config);
std::string toml_codes(const CodeOptions& codes);
/// Throws ConfigError.
void validate_conditions(const TrainerOptions& options);

}  // namespace ganforge
