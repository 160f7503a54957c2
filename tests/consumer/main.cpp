#include <ganforge/ganforge.h>

#include <cmath>
#include <cstdio>

using namespace ganforge;

int main() {
  Device device = Device::cpu(2);
  HostDataset host{.name = "stripes", .sample = {8, 8, 1}, .count = 64, .pixels = {}, .labels = {}, .classes = {}};
  std::vector<std::uint8_t> stripes;
  for (int i = 0; i < 64 * 64; ++i) stripes.push_back(static_cast<std::uint8_t>(i % 2 * 255));
  host.pixels = std::move(stripes);
  Dataset data(device, std::move(host));
  Trainer trainer(device, data,
                  {.generator = Sequential{Linear{64}, Tanh{}, Reshape{{8, 8, 1}}},
                   .discriminator = Sequential{Flatten{}, Linear{16}, LeakyReLU{0.2f}, Linear{1}},
                   .latent = 4,
                   .batch = 16});
  float loss = NAN;
  trainer.run(
      10, [&](const Stats& s) { loss = s.d_loss; }, 1);
  const Samples samples = trainer.sample(3);
  std::printf("step %lld, D loss %.3f, samples %s\n", static_cast<long long>(trainer.step()), static_cast<double>(loss),
              samples.shape.str().c_str());
  return trainer.step() == 10 && std::isfinite(loss) && samples.shape == Shape{3, 8, 8, 1} ? 0 : 1;
}
