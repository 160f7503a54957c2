// The presets: canonical layers and hyper-parameters.
#include "src/core/nearest.h"

#include <ganforge/error.h>
#include <ganforge/gan.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace ganforge {
namespace {

/// The dense GAN of the Keras tutorials (LeakyReLU before batch norm, as there). Differences from a literal copy: the
/// discriminator ends in a logit and the loss takes logits (the same function, without overflow); Adam's eps stands
/// beside the bias-corrected root, as in the paper.
Config seed_dense() {
  Config c;
  c.preset = "seed-dense";
  c.description = "dense GAN of the Keras tutorials, 28×28 grey images";
  c.generator = {Linear{128}, LeakyReLU{0.2f}, BatchNorm{}, Linear{128},         LeakyReLU{0.2f},
                 BatchNorm{}, Linear{784},     Tanh{},      Reshape{{28, 28, 1}}};
  c.discriminator = {Flatten{}, Linear{128}, LeakyReLU{0.2f}, Linear{1}};
  c.training.latent = 100;
  c.training.batch = 64;
  c.training.generator_adam =
      c.training.discriminator_adam = {.lr = 1e-3f, .beta1 = 0.5f, .beta2 = 0.999f, .eps = 1e-7f};
  c.steps = 9400;  // ten epochs of 60,000 images
  return c;
}

struct Entry {
  const char* name;
  Config (*make)();
};
constexpr Entry entries[] = {{"seed-dense", seed_dense}};

}  // namespace

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Entry& entry : entries) names.emplace_back(entry.name);
  return names;
}

Config preset(const std::string& name) {
  for (const Entry& entry : entries)
    if (name == entry.name) return entry.make();
  const std::vector<std::string> names = preset_names();
  const std::string near = nearest(name, names);
  throw ConfigError(fmt::format(
      "unknown preset '{}'; {}", name,
      near.empty() ? fmt::format("known: {}", fmt::join(names, ", ")) : fmt::format("did you mean '{}'?", near)));
}

}  // namespace ganforge
