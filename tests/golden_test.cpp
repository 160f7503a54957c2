// Ten steps of the dense GAN against PyTorch: golden/seed_dense_golden.py made the file and says how its inputs are
// rebuilt.
#include "tests/devices.h"
#include "tests/golden_inputs.h"

#include <ganforge/ganforge.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>

namespace ganforge {
namespace {

constexpr int batch = 16, latent = 100, pixels = 784, steps = 10;

/// Puts the golden weights into a network; `k` counts the tensors of both.
void set_weights(VariableStore& store, Network& network, std::uint64_t& k) {
  std::vector<float> flat(static_cast<std::size_t>(network.weights().type.shape.elements()), 0.0f);
  for (const Network::Parameter& p : network.parameter_list()) {
    float* w = flat.data() + p.offset;
    const double limit = p.shape.rank() == 2 ? std::sqrt(6.0 / static_cast<double>(p.shape[0] + p.shape[1])) : 0;
    for (std::int64_t i = 0; i < p.shape.elements(); ++i)
      w[i] = p.shape.rank() == 2         ? static_cast<float>(limit * u(k, static_cast<std::uint64_t>(i)))
             : p.name.ends_with("gamma") ? 1.0f
                                         : 0.0f;
    ++k;
  }
  store.upload(network.weights(), flat.data());
}

/// "g.2.weight" → values, from the network's flat buffer or a running statistic.
std::vector<float> tensor(VariableStore& store, Network& network, const std::string& layer, const std::string& name) {
  if (name.starts_with("running")) {
    Variable& variable = *store.find(network.name() + "/" + layer + "_batch_norm/" + name);
    std::vector<float> values(static_cast<std::size_t>(variable.type.shape.elements()));
    store.download(variable, values.data());
    return values;
  }
  std::vector<float> flat(static_cast<std::size_t>(network.weights().type.shape.elements()));
  store.download(network.weights(), flat.data());
  for (const Network::Parameter& p : network.parameter_list()) {
    if (!p.name.starts_with(network.name() + "/" + layer + "_")) continue;
    const bool weight = p.name.ends_with("/w") || p.name.ends_with("gamma");
    if (weight == (name == "weight")) return {flat.begin() + p.offset, flat.begin() + p.offset + p.shape.elements()};
  }
  return {};
}

void compare(VariableStore& store, Network& g, Network& d, const nlohmann::json& want, const std::string& when) {
  for (const auto& [key, value] : want.items()) {
    const auto first = key.find('.'), second = key.find('.', first + 1);
    const std::vector<float> w =
        tensor(store, key[0] == 'g' ? g : d, key.substr(first + 1, second - first - 1), key.substr(second + 1));
    ASSERT_FALSE(w.empty()) << key;
    double norm = 0, probe = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      norm += static_cast<double>(w[i]) * w[i];
      probe += static_cast<double>(w[i]) * u(999, i);
    }
    norm = std::sqrt(norm);
    const double golden = value["norm"];
    EXPECT_LE(std::abs(norm - golden), 1e-5 * golden)
        << when << ", " << key << ": norm " << norm << ", PyTorch's " << golden;
    EXPECT_LE(std::abs(probe - value["probe"].get<double>()), 2e-5 * golden + 1e-7) << when << ", " << key << ": probe";
  }
}

TEST(Golden, SeedDenseTrainsAsInPyTorch) {
  const nlohmann::json golden = nlohmann::json::parse(std::ifstream(GANFORGE_TEST_DATA "/golden/seed_dense.json"));
  EXPECT_EQ(golden_latents(0, batch * latent)[3], golden["inputs"]["z"][3].get<float>());
  const nlohmann::json& want = golden["float64"];
  for (Device& device : devices()) {
    SCOPED_TRACE(device.name());
    VariableStore store(device, 1);
    Network g(store, "generator",
              Sequential{Linear{128}, LeakyReLU{0.2f}, BatchNorm{}, Linear{128}, LeakyReLU{0.2f}, BatchNorm{},
                         Linear{784}, Tanh{}},
              {batch, latent});
    Network d(store, "discriminator", Sequential{Linear{128}, LeakyReLU{0.2f}, Linear{1}}, {batch, pixels});
    std::uint64_t k = 0;
    set_weights(store, g, k);
    set_weights(store, d, k);

    const AdamOptions options{.lr = 1e-3f, .beta1 = 0.5f, .beta2 = 0.999f, .eps = 1e-7f};
    Graph graph;
    Context context(graph, store, Mode::training);
    const Value real = graph.input("real", {DType::float32, {batch, pixels}}),
                z = graph.input("z", {DType::float32, {batch, latent}});
    const Value fake = g(context, z);
    const DiscriminatorLoss d_loss =
        discriminator_loss(d(context.groups(2), concat({real, fake}, 0)), Objective::non_saturating);
    adam(context, d, grad(d_loss.loss, d.parameters(context)), options);
    const Value g_loss = generator_loss(d(context, fake), Objective::non_saturating);
    adam(context, g, grad(g_loss, g.parameters(context)), options);
    graph.output("d_loss", d_loss.loss);
    graph.output("g_loss", g_loss);
    Program step = compile(device, graph);

    for (int i = 0; i < steps; ++i) {
      const std::vector<float> z_values = golden_latents(i, batch * latent),
                               real_values = golden_images(i, batch, pixels);
      step.upload("z", z_values.data(), z_values.size() * sizeof(float));
      step.upload("real", real_values.data(), real_values.size() * sizeof(float));
      step.run();
      const auto index = static_cast<std::size_t>(i);
      EXPECT_LE(std::abs(step.floats("d_loss")[0] - want["d_losses"][index].get<double>()), 1e-5) << "step " << i + 1;
      EXPECT_LE(std::abs(step.floats("g_loss")[0] - want["g_losses"][index].get<double>()), 1e-5) << "step " << i + 1;
      const std::string done = std::to_string(i + 1);
      if (want["after_step"].contains(done)) compare(store, g, d, want["after_step"][done], "after step " + done);
    }
  }
}

}  // namespace
}  // namespace ganforge
