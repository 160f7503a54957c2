// A training step of your own, with the pieces that the trainer is made of.
#include <ganforge/ganforge.h>

#include <cstdio>

using namespace ganforge;

int main() {
  Device device = Device::best();
  Dataset data = load_dataset("fashion-mnist", device);
  Model generator = Sequential{Linear{128}, LeakyReLU{0.2f}, BatchNorm{}, Linear{784}, Tanh{}, Reshape{{28, 28, 1}}};
  Model discriminator = Sequential{Flatten{}, Linear{128}, LeakyReLU{0.2f}, Linear{1}};

  VariableStore store(device, /*seed=*/1);
  Network G(store, "generator", generator, {64, 100});
  Network D(store, "discriminator", discriminator, {64, 28, 28, 1});
  Graph graph;
  Context train(graph, store, Mode::training);
  const Drawn drawn = draw(train, data, {.rows = 64, .latents = {LatentSpec(Shape{64, 100})}, .schedules = {}});
  const Value fake = G(train, drawn.latents[0]);
  const Values on = split(D(train.groups(2), concat({drawn.real, fake}, 0)), 2);
  const Value d_loss = mean(softplus(-on[0]) + softplus(on[1]));
  adam(train, D, grad(d_loss, D.parameters(train)), {.lr = 1e-3f, .beta1 = 0.5f});
  const Value g_loss = mean(softplus(-D(train, fake)));  // reads the weights just updated
  adam(train, G, grad(g_loss, G.parameters(train)), {.lr = 1e-3f, .beta1 = 0.5f});
  graph.output("d_loss", d_loss);
  graph.output("g_loss", g_loss);

  Program step = compile(device, graph);
  for (int i = 1; i <= 2000; ++i) {
    step.run();
    if (i % 200 == 0)
      std::printf("%6d  D %.3f  G %.3f\n", i, static_cast<double>(step.floats("d_loss")[0]),
                  static_cast<double>(step.floats("g_loss")[0]));
  }
}
