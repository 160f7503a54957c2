// The presets: canonical layers and hyper-parameters.
#include "src/gan/presets.h"

#include "src/core/nearest.h"

#include <ganforge/error.h>
#include <ganforge/gan.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <vector>

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

/// The convolutional GAN of the Keras tutorials: the generator's input is an image of noise. Differences from a literal
/// copy: padding is "same", since with Keras' default the generator makes 22×22 and the discriminator runs out of
/// pixels; the discriminator ends in 2×2 logits that are averaged to one, and the loss takes logits (the same function
/// as sigmoid and cross-entropy, without overflow). It is a net to compare with, not one for good images: a pixel of
/// the generator sees a window of some 20 pixels of noise, so textures come out and no shapes, and at these learning
/// rates the discriminator often wins (PyTorch's same net ends in black images on Fashion-MNIST).
Config seed_conv() {
  const auto conv = [](std::int64_t channels, std::int64_t stride) {
    return Conv2d{.out_channels = channels, .kernel = {3}, .stride = {stride}, .padding = {1}};
  };
  Config c;
  c.preset = "seed-conv";
  c.description = "convolutional GAN of the Keras tutorials, 28×28 grey images";
  c.generator = {conv(32, 2), ReLU{}, Upsample{}, conv(16, 2), ReLU{}, Upsample{}, conv(1, 1), Sigmoid{}};
  c.discriminator = {conv(32, 2), ReLU{}, AvgPool2d{}, conv(16, 2), ReLU{}, AvgPool2d{}, conv(1, 1), GlobalAvgPool{}};
  c.training.latent = LatentSpec(Shape{28, 28, 1}, true, 0, 1);
  c.training.batch = 64;
  c.training.generator_adam =
      c.training.discriminator_adam = {.lr = 1e-3f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-7f};
  c.steps = 9400;  // ten epochs of 60,000 images
  return c;
}

// DCGAN: Radford et al., arXiv:1511.06434, with the sizes and values of pytorch/examples.
const Initializer weights = Initializer::normal(0, 0.02f), scales = Initializer::normal(1, 0.02f);

BatchNorm dcgan_norm() {
  return {.momentum = 0.9f, .eps = 1e-5f, .init = scales};
}
Conv2d halve(std::int64_t channels, bool bias = false) {
  return {.out_channels = channels, .kernel = {4}, .stride = {2}, .padding = {1}, .bias = bias, .init = weights};
}
ConvTranspose2d enlarge(std::int64_t channels, bool bias = false) {
  return {.out_channels = channels, .kernel = {4}, .stride = {2}, .padding = {1}, .bias = bias, .init = weights};
}

Config dcgan(const char* name, const char* description, const char* data) {
  Config c;
  c.preset = name;
  c.description = description;
  c.data = data;
  c.training.latent = 100;
  c.training.batch = 64;
  c.training.generator_adam =
      c.training.discriminator_adam = {.lr = 2e-4f, .beta1 = 0.5f, .beta2 = 0.999f, .eps = 1e-8f};
  return c;
}

/// Generator and discriminator for images of 4·2^widths pixels; `widths` are the generator's channels from 4×4 on.
void dcgan_stack(Config& c, const std::vector<std::int64_t>& widths) {
  std::vector<Layer> g = {Reshape{{1, 1, 100}},
                          ConvTranspose2d{.out_channels = widths[0], .kernel = {4}, .bias = false, .init = weights}};
  for (std::size_t i = 1; i < widths.size(); ++i) g.insert(g.end(), {dcgan_norm(), ReLU{}, enlarge(widths[i])});
  g.insert(g.end(), {dcgan_norm(), ReLU{}, enlarge(3), Tanh{}});
  std::vector<Layer> d = {halve(widths.back()), LeakyReLU{0.2f}};
  for (std::size_t i = widths.size() - 1; i-- > 0;)
    d.insert(d.end(), {halve(widths[i]), dcgan_norm(), LeakyReLU{0.2f}});
  d.push_back(Conv2d{.out_channels = 1, .kernel = {4}, .bias = false, .init = weights});
  c.generator = Sequential(g);
  c.discriminator = Sequential(d);
}

Config dcgan_28() {
  Config c = dcgan("dcgan-28", "DCGAN for 28×28 images: MNIST, Fashion-MNIST", "fashion-mnist");
  c.generator = {Linear{7 * 7 * 128, false, weights},
                 Reshape{{7, 7, 128}},
                 dcgan_norm(),
                 ReLU{},
                 enlarge(64),
                 dcgan_norm(),
                 ReLU{},
                 enlarge(1, true),
                 Tanh{}};
  c.discriminator = {halve(64, true), LeakyReLU{0.2f},         halve(128), dcgan_norm(), LeakyReLU{0.2f},
                     Flatten{},       Linear{1, true, weights}};
  c.steps = 4700;  // five epochs of 60,000 images
  return c;
}

/// WGAN-GP (Gulrajani et al., arXiv:1704.00028) with the nets of dcgan-28, but no batch norm in the critic: the penalty
/// is of each sample's own gradient.
Config wgan_gp_28() {
  Config c = dcgan_28();
  c.preset = "wgan-gp-28";
  c.description = "WGAN with gradient penalty, 28×28 images";
  c.discriminator = {halve(64, true), LeakyReLU{0.2f}, halve(128, true),
                     LeakyReLU{0.2f}, Flatten{},       Linear{1, true, weights}};
  TrainerOptions& t = c.training;
  t.objective = Objective::wasserstein;
  t.penalties = {{.kind = Penalty::Kind::gp, .weight = 10}};
  t.d_steps = 5;
  t.fresh_latents = true;
  t.generator_adam = t.discriminator_adam = {.lr = 1e-4f, .beta1 = 0.5f, .beta2 = 0.9f, .eps = 1e-8f};
  return c;
}

Config dcgan_32() {
  Config c = dcgan("dcgan-32", "DCGAN for 32×32 images: CIFAR-10", "cifar-10");
  dcgan_stack(c, {256, 128, 64});
  return c;
}

Config dcgan_64() {
  Config c = dcgan("dcgan-64", "DCGAN for 64×64 images, as in pytorch/examples", "");
  dcgan_stack(c, {512, 256, 128, 64});
  return c;
}

/// Layers of `width` and a last one, with the initial values of PyTorch: weights and biases U(±1/√fan_in). Biases of
/// zero would put every kink through the origin.
Sequential toy_net(std::int64_t in, std::int64_t width, int depth, std::int64_t out) {
  std::vector<Layer> layers;
  const auto linear = [&](std::int64_t features, std::int64_t fan_in) {
    const float limit = 1 / std::sqrt(static_cast<float>(fan_in));
    const Initializer initial = Initializer::uniform(-limit, limit);
    layers.push_back(Linear{features, true, initial, initial});
  };
  for (int i = 0; i < depth; ++i) {
    linear(width, i == 0 ? in : width);
    layers.push_back(LeakyReLU{0.2f});
  }
  linear(out, width);
  return Sequential(layers);
}

/// Two-dimensional mixtures: a paired relativistic GAN with R1 and R2 (Huang et al., arXiv:2501.05441). Two latents say
/// which mode and leave two for the place within it; a generator of four hidden layers gets steep enough between the
/// modes, one of three does not in so few steps.
Config toy_2d() {
  Config c;
  c.preset = "toy-2d";
  c.description = "mixtures in the plane: ring8, grid25; measured by `ganforge eval`";
  c.data = "ring8";
  c.steps = 40000;
  c.sample_every = 5000;
  c.checkpoint_every = 5000;
  c.metrics_every = 100;
  c.generator = toy_net(4, 128, 4, 2);
  c.discriminator = toy_net(2, 128, 3, 1);
  TrainerOptions& t = c.training;
  t.latent = 4;
  t.batch = 256;
  t.objective = Objective::relativistic_paired;
  t.fresh_latents = true;
  const Decay to_the_end{Schedule::Kind::cosine, 0.001f};
  t.penalties = {{.kind = Penalty::Kind::r1, .weight = 0.1f, .decay = to_the_end},
                 {.kind = Penalty::Kind::r2, .weight = 0.1f, .decay = to_the_end}};
  t.generator_adam = t.discriminator_adam = {.lr = 2e-3f, .beta1 = 0, .beta2 = 0.99f, .eps = 1e-8f};
  t.generator_lr_decay = t.discriminator_lr_decay = {Schedule::Kind::cosine, 1e-5f};
  t.ema_half_life = 256 * 250;
  return c;
}

/// Stacked-MNIST with the small nets of Unrolled GAN (Metz et al., arXiv:1611.02163, appendix C), the discriminator
/// with a quarter of the generator's channels, and the objective of R3GAN (arXiv:2501.05441) in place of unrolling.
Config stacked_quarter() {
  const auto up = [](std::int64_t channels, std::int64_t output_padding) {
    return ConvTranspose2d{.out_channels = channels,
                           .kernel = {3},
                           .stride = {2},
                           .padding = {1},
                           .output_padding = {output_padding},
                           .bias = false};
  };
  const auto down = [](std::int64_t channels) {
    return Conv2d{.out_channels = channels, .kernel = {3}, .stride = {2}, .padding = {1}};
  };
  const BatchNorm norm{.momentum = 0.9f, .eps = 1e-5f};
  Config c;
  c.preset = "stacked-quarter";
  c.description = "Stacked-MNIST: 1000 modes, a discriminator of a quarter of the generator; 28×28 colour images";
  c.data = "stacked:fashion-mnist";
  c.steps = 50000;
  c.sample_every = 5000;
  c.checkpoint_every = 5000;
  c.metrics_every = 100;
  c.generator = {Linear{1024, false},
                 Reshape{{4, 4, 64}},
                 norm,
                 ReLU{},
                 up(32, 0),
                 norm,
                 ReLU{},
                 up(16, 1),
                 norm,
                 ReLU{},
                 up(8, 1),
                 norm,
                 ReLU{},
                 Conv2d{.out_channels = 3, .kernel = {3}, .padding = {1}},
                 Tanh{}};
  c.discriminator = {down(2), LeakyReLU{0.3f}, down(4),   LeakyReLU{0.3f},
                     down(8), LeakyReLU{0.3f}, Flatten{}, Linear{1}};
  TrainerOptions& t = c.training;
  t.latent = 256;
  t.batch = 128;
  t.objective = Objective::relativistic_paired;
  t.fresh_latents = true;
  // So small a discriminator is held still by more: at γ 0.1 its gradient dies.
  t.penalties = {{.kind = Penalty::Kind::r1, .weight = 0.001f}, {.kind = Penalty::Kind::r2, .weight = 0.001f}};
  t.generator_adam = {.lr = 2e-4f, .beta1 = 0, .beta2 = 0.99f, .eps = 1e-8f};
  t.discriminator_adam = {.lr = 1e-3f, .beta1 = 0, .beta2 = 0.99f, .eps = 1e-8f};
  t.ema_half_life = 128 * 500;
  return c;
}

struct Entry {
  const char* name;
  Config (*make)();
};
constexpr Entry entries[] = {{"seed-dense", seed_dense},
                             {"seed-conv", seed_conv},
                             {"dcgan-28", dcgan_28},
                             {"wgan-gp-28", wgan_gp_28},
                             {"r3gan-small", r3gan_small},
                             {"dcgan-32", dcgan_32},
                             {"r3gan-small-32", r3gan_small_32},
                             {"dcgan-64", dcgan_64},
                             {"r3gan-small-64", r3gan_small_64},
                             {"toy-2d", toy_2d},
                             {"stacked-quarter", stacked_quarter}};

}  // namespace

bool set_image_channels(Config& config, std::int64_t channels) {
  std::vector<Layer> layers = config.generator.layers();
  for (std::size_t i = layers.size(); i-- > 0;) {
    LayerSpec spec = layers[i].spec();
    if (spec.type != Conv2d::name && spec.type != ConvTranspose2d::name) continue;
    for (auto& [name, value] : spec.attributes)
      if (name == "out_channels") value = channels;
    layers[i] = make_layer(spec);
    config.generator = Sequential(layers);
    return true;
  }
  return false;
}

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
