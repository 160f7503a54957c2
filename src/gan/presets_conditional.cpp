// dcgan-28 with labels, and with codes that it finds by itself: so that the four compare like with like.
#include "src/gan/presets.h"

#include <algorithm>

namespace ganforge {
namespace {

const Initializer weights = Initializer::normal(0, 0.02f);

Config variant(const char* name, const char* description) {
  Config c = preset("dcgan-28");
  c.preset = name;
  c.description = description;
  return c;
}

Sequential with_first(const Sequential& model, Layer first) {
  std::vector<Layer> layers = model.layers();
  layers.insert(layers.begin(), std::move(first));
  return Sequential(std::move(layers));
}

/// Beside the last layer, on the same features.
Sequential with_head(const Sequential& model, Layer head) {
  std::vector<Layer> layers = model.layers();
  layers.insert(layers.end() - 1, std::move(head));
  return Sequential(std::move(layers));
}

}  // namespace

/// The label as ten more latents and as ten constant planes of the discriminator's input (Mirza & Osindero,
/// arXiv:1411.1784, in the way of Keras' example).
Config cgan_28() {
  Config c = variant("cgan-28", "conditional DCGAN: the label as an input of both nets, 28×28 images");
  c.generator = with_first(c.generator, LabelConcat{});
  c.discriminator = with_first(c.discriminator, LabelConcat{});
  return c;
}

/// Auxiliary classifier (Odena et al., arXiv:1610.09585): the latents times an embedding of the label, and a
/// discriminator that names classes. It learns them from real samples alone, as in Keras' example: taught those of
/// generated samples too, as in the paper, it and the generator agree on a texture for each class instead of its shape.
Config acgan_28() {
  Config c = variant("acgan-28", "conditional DCGAN whose discriminator classifies too (ACGAN), 28×28 images");
  c.generator = with_first(c.generator, EmbeddingMultiply{});
  c.discriminator = with_head(c.discriminator, ClassHead{.init = weights});
  return c;
}

/// InfoGAN (Chen et al., arXiv:1606.03657), without labels: a category of ten and two numbers that the discriminator
/// must find again in the image.
Config infogan_28() {
  Config c = variant("infogan-28", "DCGAN that finds classes and styles without labels (InfoGAN), 28×28 images");
  c.discriminator = with_head(c.discriminator, CodeHead{.codes = 12, .features = 128, .init = weights});
  c.training.latent = 62;
  c.training.codes = {.categories = 10, .continuous = 2, .category_weight = 1, .continuous_weight = 0.1f};
  return c;
}

}  // namespace ganforge
