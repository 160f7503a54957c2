#include "src/gan/regulariser_toml.h"

#include "src/gan/choices.h"
#include "src/gan/judge.h"
#include "src/gan/penalty_toml.h"

#include <cmath>

namespace ganforge {
namespace {

constexpr std::pair<const char*, bool Augmentation::*> augmentations[] = {
    {"color", &Augmentation::color}, {"translation", &Augmentation::translation}, {"cutout", &Augmentation::cutout}};

void check(bool ok, const std::string& key, const std::string& wanted, const auto& got) {
  if (!ok) throw ConfigError(fmt::format("{} must be {}, got {}", key, wanted, got));
}

}  // namespace

void add_augmentation(Augmentation& options, const std::string& name) {
  options.*value_of(name, "augment", augmentations) = true;
}
std::vector<std::string> augmentation_names() {
  return words(augmentations);
}

void read_regularisers(TableReader& reader, const std::string& source, TrainerOptions& o) {
  if (const toml::node* node = reader.find("augment")) {
    const toml::array* array = node->as_array();
    if (!array) reader.fail(*node, "augment must be a list such as [\"color\", \"translation\", \"cutout\"], or []");
    o.augment = {};
    for (const toml::node& element : *array) {
      try {
        add_augmentation(o.augment, element.value_or(std::string()));
      } catch (const ConfigError& error) {
        reader.fail(element, error.what());
      }
    }
  }
  reader.read("augment_probability", o.augment_probability);
  read_decay(reader, "augment_probability_decay", source, o.augment_probability_decay);
  reader.read("instance_noise", o.instance_noise);
  read_decay(reader, "instance_noise_decay", source, o.instance_noise_decay);
  reader.read("pack", o.pack);
  reader.read("accumulate", o.accumulate);
}

std::string toml_regularisers(const TrainerOptions& o) {
  std::vector<std::string> kinds;
  for (const auto& [name, member] : augmentations)
    if (o.augment.*member) kinds.push_back(fmt::format("\"{}\"", name));
  std::string text = fmt::format("augment = [{}]\n", fmt::join(kinds, ", "));
  if (o.augment)
    text += fmt::format("augment_probability = {}\n", toml_number(o.augment_probability)) +
            toml_decay("augment_probability_decay", o.augment_probability_decay);
  text += fmt::format("instance_noise = {}\n", toml_number(o.instance_noise)) +
          toml_decay("instance_noise_decay", o.instance_noise_decay);
  return text + fmt::format("pack = {}\naccumulate = {}\n", o.pack, o.accumulate);
}

void validate_regularisers(const TrainerOptions& o) {
  const auto probable = [](float p) { return p >= 0 && p <= 1; };
  check(probable(o.augment_probability), "augment_probability", "from 0 to 1", o.augment_probability);
  validate_decay("augment_probability_decay", o.augment_probability_decay);
  if (o.augment_probability_decay.kind != Schedule::Kind::constant)
    check(probable(o.augment_probability_decay.to), "augment_probability_decay.to", "from 0 to 1",
          o.augment_probability_decay.to);
  check(o.instance_noise >= 0 && std::isfinite(o.instance_noise), "instance_noise", "0 (none) or more",
        o.instance_noise);
  validate_decay("instance_noise_decay", o.instance_noise_decay);
  check(o.pack >= 1 && o.pack <= 64, "pack", "from 1 to 64", o.pack);
  check(o.batch % o.pack == 0, "pack", fmt::format("a divisor of the batch, {}", o.batch), o.pack);
  check(o.accumulate >= 1 && o.accumulate <= 1000, "accumulate", "from 1 to 1000", o.accumulate);
  for (const auto& [key, norm] : {std::pair("generator_adam.max_norm", o.generator_max_norm),
                                  std::pair("discriminator_adam.max_norm", o.discriminator_max_norm)})
    check(norm >= 0 && std::isfinite(norm), key, "0 (none) or more", norm);
  for (const Penalty& p : o.penalties)
    if (p.kind == Penalty::Kind::consistency && !o.augment)
      throw ConfigError("penalty consistency wants an augmentation: augment = [\"translation\"], say");
}

}  // namespace ganforge
