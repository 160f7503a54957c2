// Ten steps of dcgan-32 against PyTorch: golden/dcgan_32_golden.py made the file.
#include "tests/devices.h"
#include "tests/golden_inputs.h"

#include <ganforge/ganforge.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>

namespace ganforge {
namespace {

constexpr int batch = 8, latent = 100, size = 32 * 32 * 3, steps = 10;

void set_weights(VariableStore& store, Network& network, std::uint64_t& k) {
  std::vector<float> flat(static_cast<std::size_t>(network.weights().type.shape.elements()), 0.0f);
  for (const Network::Parameter& p : network.parameter_list()) {
    const double scale = p.name.ends_with("beta") ? 0 : 0.02 * std::sqrt(3.0), shift = p.name.ends_with("gamma") ? 1 : 0;
    for (std::int64_t i = 0; i < p.shape.elements(); ++i)
      flat[static_cast<std::size_t>(p.offset + i)] =
          static_cast<float>(shift + scale * u(k, static_cast<std::uint64_t>(i)));
    ++k;
  }
  store.upload(network.weights(), flat.data());
}

std::vector<float> values_of(VariableStore& store, Variable& variable) {
  std::vector<float> values(static_cast<std::size_t>(variable.type.shape.elements()));
  store.download(variable, values.data());
  return values;
}

/// What may separate float32 from the truth: `least`, or four times what separates PyTorch's float32 from it.
double tolerance(double least, const nlohmann::json& truth, const nlohmann::json& single) {
  return std::max(least, 4 * std::abs(truth.get<double>() - single.get<double>()));
}

/// Every tensor of the file against the network's.
void compare(VariableStore& store, Network& network, const nlohmann::json& want, const nlohmann::json& single,
             double least, const std::string& when) {
  const std::vector<float> flat = values_of(store, network.weights());
  for (const auto& [name, golden] : want.items()) {
    if (!name.starts_with(network.name() + "/")) continue;
    std::vector<float> w;
    if (name.find("/running_") != std::string::npos) w = values_of(store, *store.find(name));
    for (const Network::Parameter& p : network.parameter_list())
      if (p.name == name) w.assign(flat.begin() + p.offset, flat.begin() + p.offset + p.shape.elements());
    ASSERT_FALSE(w.empty()) << name;
    double norm = 0, probe = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      norm += static_cast<double>(w[i]) * w[i];
      probe += static_cast<double>(w[i]) * u(999, i);
    }
    norm = std::sqrt(norm);
    const double golden_norm = golden["norm"], golden_probe = golden["probe"];
    const nlohmann::json& other = single[name];
    EXPECT_LE(std::abs(norm - golden_norm), tolerance(least * golden_norm, golden["norm"], other["norm"])) << when << ", " << name << ": norm " << norm;
    EXPECT_LE(std::abs(probe - golden_probe), tolerance(10 * least * golden_norm, golden["probe"], other["probe"])) << when << ", " << name << ": probe " << probe;
  }
}

TEST(Golden, Dcgan32TrainsAsInPyTorch) {
  const nlohmann::json golden = nlohmann::json::parse(std::ifstream(GANFORGE_TEST_DATA "/golden/dcgan_32.json"));
  const nlohmann::json &want = golden["float64"], &single = golden["float32"];
  const Config config = preset("dcgan-32");
  for (Device& device : devices()) {
    SCOPED_TRACE(device.name());
    VariableStore store(device, 1);
    Network g(store, "generator", config.generator, {batch, latent});
    Network d(store, "discriminator", config.discriminator, {batch, 32, 32, 3});
    std::uint64_t k = 0;
    set_weights(store, g, k);
    set_weights(store, d, k);

    Graph graph;
    Context context(graph, store, Mode::training);
    const Value real = graph.input("real", {DType::float32, {batch, 32, 32, 3}}),
                z = graph.input("z", {DType::float32, {batch, latent}});
    const Value fake = g(context, z);
    const DiscriminatorLoss d_loss =
        discriminator_loss(d(context.groups(2), concat({real, fake}, 0)), Objective::non_saturating);
    adam(context, d, grad(d_loss.loss, d.parameters(context)), config.training.discriminator_adam);
    const Value g_loss = generator_loss(d(context, fake), Objective::non_saturating);
    adam(context, g, grad(g_loss, g.parameters(context)), config.training.generator_adam);
    graph.output("d_loss", d_loss.loss);
    graph.output("g_loss", g_loss);
    Program step = compile(device, graph);

    double worst = 0;  // of PyTorch's float32 so far, relative: rounding grows from step to step
    for (int i = 0; i < steps; ++i) {
      const std::vector<float> z_values = golden_latents(i, batch * latent), real_values = golden_images(i, batch, size);
      step.upload("z", z_values.data(), z_values.size() * sizeof(float));
      step.upload("real", real_values.data(), real_values.size() * sizeof(float));
      step.run();
      const auto index = static_cast<std::size_t>(i);
      for (const char* loss : {"d_loss", "g_loss"}) {
        const std::string list = std::string(loss) + "es";
        const double truth = want[list][index];
        worst = std::max(worst, std::abs(single[list][index].get<double>() - truth) / truth);
        // From the third step on one rounding may carry an activation across its kink; then float32 runs part.
        const double allowed = i < 2 ? 1e-5 : std::max(1e-4, 10 * worst);
        EXPECT_LE(std::abs(step.floats(loss)[0] - truth), allowed * truth) << loss << ", step " << i + 1;
      }
      const std::string done = std::to_string(i + 1);
      if (!want["after_step"].contains(done)) continue;
      compare(store, g, want["after_step"][done], single["after_step"][done], i == 0 ? 1e-4 : 1e-2, "after step " + done);
      compare(store, d, want["after_step"][done], single["after_step"][done], i == 0 ? 1e-4 : 1e-2, "after step " + done);
    }
  }
}

}  // namespace
}  // namespace ganforge
