// Penalties and decays in a configuration file.
#pragma once

#include "src/gan/table_reader.h"

#include <ganforge/gan.h>

namespace ganforge {

/// { kind = "cosine", to = 1e-4, begin = 0, end = 20000 }. `end` absent or 0: the last step of the run; images =
/// 2000000 in its place: so many real samples behind `begin`.
void read_decay(TableReader& parent, const char* key, const std::string& source, Decay& decay);
/// A line, or nothing if the value is constant.
std::string toml_decay(const char* key, const Decay& decay);
/// Throws ConfigError that names `key`.
void validate_decay(const std::string& key, const Decay& decay);

/// Calls f(decay) for all that the options have.
template <class Function>
void for_each_decay(TrainerOptions& options, Function f) {
  f(options.generator_lr_decay);
  f(options.discriminator_lr_decay);
  f(options.generator_beta2_decay);
  f(options.discriminator_beta2_decay);
  f(options.ema_half_life_decay);
  f(options.augment_probability_decay);
  f(options.instance_noise_decay);
  for (Penalty& penalty : options.penalties) f(penalty.decay);
}

/// [[penalty]] with type, weight, decay and interval. A file that has any names all: those of its preset are dropped.
void read_penalties(TableReader& parent, const std::string& source, std::vector<Penalty>& penalties);
std::string toml_penalties(const std::vector<Penalty>& penalties);
/// Throws ConfigError.
void validate(const std::vector<Penalty>& penalties);

}  // namespace ganforge
