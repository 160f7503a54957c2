// Presets whose networks are made of residual blocks.
#include "src/gan/presets.h"

#include <cmath>
#include <vector>

namespace ganforge {
namespace {

constexpr std::int64_t channels_of_group = 16, expansion = 2;

Conv2d pointwise(std::int64_t channels, const Initializer& initial, bool bias = false) {
  return {.out_channels = channels, .kernel = {1}, .bias = bias, .init = initial};
}

/// 1×1, grouped 3×3, 1×1, without a norm. The last layer begins at zero, hence the block as the identity; the others
/// begin smaller the more blocks there are (Zhang et al., arXiv:1901.09321).
Residual r3gan_block(std::int64_t width, std::size_t blocks) {
  const std::int64_t inner = expansion * width;
  const float gain = std::sqrt(2.0f / 1.04f) * std::pow(static_cast<float>(blocks), -0.25f);
  const Conv2d grouped{.out_channels = inner,
                       .kernel = {3},
                       .padding = {1},
                       .groups = inner / channels_of_group,
                       .init = Initializer::fan_in(gain)};
  return {.main = {pointwise(inner, Initializer::fan_in(gain), true), LeakyReLU{0.2f}, grouped, LeakyReLU{0.2f},
                   pointwise(width, Initializer::zeros())},
          .shortcut = {}};
}

/// R3GAN (Huang et al., arXiv:2501.05441): one block for each width, from images of `side` pixels up to those of
/// side·2^(widths − 1). From the paper's code: the blocks and their initial values, the ends of both networks, 64
/// latents, the losses, betas and eps. Ours: fewer and narrower blocks (there two a stage, 768 wide), batches of 64
/// (512), rates and weights that fit them and fall to the end of the run whatever its length. Where the paper's filter
/// [1, 3, 3, 1] meets the border, zeros come in there, here the outermost pixels.
Config r3gan(const char* name, const char* description, const char* data, std::int64_t side,
             const std::vector<std::int64_t>& widths) {
  const Initializer linear = Initializer::fan_in(1);
  const std::size_t blocks = widths.size();
  std::vector<Layer> g = {Linear{widths[0], false, linear}, Basis{{side, side, widths[0]}}};
  std::vector<Layer> d = {pointwise(widths.back(), linear)};
  for (std::size_t i = 0; i < blocks; ++i) {
    const std::size_t down = blocks - 1 - i;
    if (i > 0 && widths[i] != widths[i - 1]) g.push_back(pointwise(widths[i], linear));
    if (i > 0) g.push_back(Upsample{2, true});
    g.push_back(r3gan_block(widths[i], blocks));
    d.push_back(r3gan_block(widths[down], blocks));
    if (down > 0) d.push_back(Downsample{2});
    if (down > 0 && widths[down] != widths[down - 1]) d.push_back(pointwise(widths[down - 1], linear));
  }
  g.push_back(pointwise(3, linear));
  const Conv2d depthwise{
      .out_channels = widths[0], .kernel = {side}, .groups = widths[0], .bias = false, .init = linear};
  d.insert(d.end(), {depthwise, Flatten{}, Linear{1, false, linear}});

  Config c;
  c.preset = name;
  c.description = description;
  c.data = data;
  c.generator = Sequential(g);
  c.discriminator = Sequential(d);
  TrainerOptions& t = c.training;
  t.latent = 64;
  t.batch = 64;
  t.objective = Objective::relativistic_paired;
  t.fresh_latents = true;
  const auto to_the_end = [](float to) { return Decay{Schedule::Kind::cosine, to}; };
  t.penalties = {{.kind = Penalty::Kind::r1, .weight = 1, .decay = to_the_end(0.1f)},
                 {.kind = Penalty::Kind::r2, .weight = 1, .decay = to_the_end(0.1f)}};
  t.generator_adam = t.discriminator_adam = {.lr = 5e-4f, .beta1 = 0, .beta2 = 0.99f, .eps = 1e-8f};
  t.generator_lr_decay = t.discriminator_lr_decay = to_the_end(1e-4f);
  t.ema_half_life = 5000;
  return c;
}

}  // namespace

/// Half as wide where maps are twice as large: a third of a second a step on two cores, where a width of 128 throughout
/// takes five times as many operations.
Config r3gan_small() {
  Config c = r3gan("r3gan-small", "R3GAN for 28×28 images: MNIST, Fashion-MNIST", "fashion-mnist", 7, {128, 64, 32});
  set_image_channels(c, 1);
  c.steps = 4700;
  return c;
}

Config r3gan_small_32() {
  return r3gan("r3gan-small-32", "R3GAN for 32×32 images: CIFAR-10", "cifar-10", 4, {128, 128, 128, 128});
}

Config r3gan_small_64() {
  return r3gan("r3gan-small-64", "R3GAN for 64×64 images", "", 4, {128, 128, 128, 128, 128});
}

}  // namespace ganforge
