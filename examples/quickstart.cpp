#include <ganforge/ganforge.h>

#include <cstdio>

using namespace ganforge;

int main() {
  Device device = Device::best();
  Dataset data = load_dataset("fashion-mnist", device);
  Model generator = Sequential{Linear{128}, LeakyReLU{0.2f}, BatchNorm{}, Linear{128},         LeakyReLU{0.2f},
                               BatchNorm{}, Linear{784},     Tanh{},      Reshape{{28, 28, 1}}};
  Model discriminator = Sequential{Flatten{}, Linear{128}, LeakyReLU{0.2f}, Linear{1}};
  Trainer trainer(device, data, {.generator = generator, .discriminator = discriminator, .latent = 100, .batch = 64});
  trainer.run(10'000,
              [](const Stats& s) { std::printf("%6lld  D %.3f  G %.3f\n", (long long)s.step, s.d_loss, s.g_loss); });
  write_png("samples.png", trainer.sample(64));
  trainer.save("gan.safetensors");
}
