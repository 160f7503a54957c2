// The program from outside: its command line, errors, and what it writes.
#include "tests/program.h"

#include <ganforge/device.h>
#include <ganforge/gan.h>

#include <cstdlib>

namespace ganforge::test {
namespace {

TEST_F(Cli, MistakesInTheCommandLineExitWith2) {
  expect_error({}, 2, {"a command is missing", "--help"});
  expect_error({"trian"}, 2, {"'trian'", "did you mean 'train'?"});
  expect_error({"train", "--batchsize", "3"}, 2, {"'--batchsize'", "did you mean '--batch'?"});
  expect_error({"train", "--stpes=3"}, 2, {"'--stpes=3'", "did you mean '--steps'?"});
  expect_error({"train", "--checkpoint", "3"}, 2, {"did you mean '--checkpoint-every'?"});
  expect_error({"train", "-x"}, 2, {"'-x'"});
  expect_error({"train", "images-idx3-ubyte"}, 2, {"unexpected argument 'images-idx3-ubyte'"});
  expect_error({"train", "--preset", "seed-dens"}, 2, {"did you mean 'seed-dense'?"});
  expect_error({"info", "--preset", "quux"}, 2, {"'quux'"});
  expect_error({"train", "--steps"}, 2, {"--steps wants a value"});
  expect_error({"train", "--steps", "--batch", "4"}, 2, {"--steps must be", "'--batch'"});
  expect_error({"train", "--dry-run=no"}, 2, {"--dry-run takes no value"});
  for (const char* value :
       {"0", "-1", "nan", "1.5", "1e3", "0x10", "", " 5", "5x", "99999999999999999999", "two\nlines"})
    expect_error({"train", "--steps", value}, 2, {"--steps must be a whole number from 1"});
  for (const char* value : {"0", "-0.1", "nan", "inf", "-inf", "1e-60", "1e60", "", "fast", "1,5"})
    expect_error({"train", "--lr-g", value}, 2, {"--lr-g must be a number above 0"});
  expect_error({"train", "--r1", "0"}, 2, {"--r1 must be a number above 0, got '0'"});
  expect_error({"train", "--objective", "hinges"}, 2, {"did you mean 'hinge'?"});
  expect_error({"train", "--batch", "0"}, 2, {"--batch must be a whole number from 1 to 1000000, got '0'"});
  expect_error({"train", "--threads", "0"}, 2, {"--threads must be a whole number from 1 to 1024"});
  expect_error({"train", "--epochs", "0"}, 2, {"--epochs"});
  expect_error({"train", "--seed", "-1"}, 2, {"--seed"});
  expect_error({"train", "--sample-every", "-5"}, 2, {"--sample-every"});
  expect_error({"train", "--device", "gpu"}, 2, {"--device must be auto or cpu or cuda, got 'gpu'"});
  expect_error({"train", "--progress", "plian"}, 2, {"did you mean 'plain'?"});
  expect_error({"train", "--out", ""}, 2, {"--out must not be empty"});
  expect_error({"train", "--steps", "5", "--epochs", "1"}, 2, {"--steps and --epochs"});
  expect_error({"train", "--preset", "seed-dense", "--config", "small.toml"}, 2, {"--preset and --config"});
  expect_error({"train", "--resume", "x", "--batch", "5"}, 2, {"--batch cannot change"});
  expect_error({"sample"}, 2, {"RUN is missing"});
  expect_error({"sample", "a", "b"}, 2, {"'b'"});
  expect_error({"sample", "a", "--n", "0"}, 2, {"--n"});
  expect_error({"sample", "a", "--out", "x.jpg"}, 2, {".png or .npy"});
  expect_error({"bench", "--batch", "60001"}, 2, {"--batch"});
}

TEST_F(Cli, FaultsOfFilesAndConfigurationsExitWith1) {
  const auto bad_config = [&](const std::string& text, const Words& parts) {
    write(path("bad.toml"), text);
    expect_error(train_words + Words{"--config", "bad.toml"}, 1, parts);
  };
  bad_config("preset = \"seed-dense\"\nbatchs = 3\n", {"bad.toml:2:1", "batchs", "did you mean 'batch'?"});
  bad_config("preset = \"seed-dense\"\nbatch = -3\n", {"bad.toml", "batch"});
  bad_config("preset = \"seed-dense\"\nbatch = \"three\"\n", {"bad.toml:2:9", "batch"});
  bad_config("preset = \"seed-danse\"\n", {"bad.toml:1:10", "did you mean 'seed-dense'?"});
  bad_config("steps = = 3\n", {"bad.toml:1:"});
  bad_config("preset = \"seed-dense\"\n[generator_adam]\nlr = nan\n", {"bad.toml", "generator_adam.lr"});
  bad_config("[[generator]]\ntype = \"linaer\"\n", {"bad.toml:1:", "linaer", "linear"});
  bad_config("", {"bad.toml"});
  bad_config(std::string("\xff\xfe\0", 3), {"bad.toml"});

  std::string model = small_model;
  model.replace(model.find("784"), 3, "700");
  bad_config(model, {"bad.toml: generator/2_reshape", "[8, 700]", "[8, 28, 28, 1]"});
  model.replace(model.find("[28, 28, 1]"), 11, "[7, 100, 1]");
  bad_config(model, {"bad.toml", "[7, 100, 1]", "[28, 28, 1]"});

  expect_error(train_words + Words{"--config", "none.toml"}, 1, {"none.toml"});
  expect_error(train_words + Words{"--config", "."}, 1, {"."});
  expect_error(train_words + Words{"--data", "none/images"}, 1, {"none/images: no such file or folder"});
  expect_error(train_words + Words{"--data", "mnits"}, 1, {"did you mean mnist?"});
  expect_error(train_words + Words{"--data", "small.toml"}, 1, {"small.toml"});
  expect_error(train_words + small + Words{"--batch", "257"}, 1, {"257", "256", "smaller batch"});
  const std::string whole = images(256);
  for (std::size_t size : {0, 3, 15, 16, 17, 784, 256 * 784 + 15}) {
    write(path("cut"), whole.substr(0, size));
    expect_error(train_words + Words{"--data", "./cut"}, 1, {"cut"});
  }
  write(path("large"), images(9, 32));
  expect_error(train_words + Words{"--data", "large", "--batch", "4"}, 1, {"[28, 28, 1]", "[32, 32, 1]"});
  expect_error(train_words + small + Words{"--out", "small.toml"}, 1, {"cannot make the folder", "small.toml"});
  expect_error(train_words + small + Words{"--out", "/proc/nowhere"}, 1, {"cannot make the folder /proc/nowhere"});
  expect_error(train_words + Words{"--resume", "nowhere"}, 1, {"nowhere: no such"});
  expect_error(train_words + Words{"--resume", "."}, 1, {"no config.toml"});
  expect_error(train_words + Words{"--resume", "small.toml"}, 1, {"small.toml: not a checkpoint"});
  expect_error({"bench", "--precision", "fp16"}, 2, {"--precision must be fp32 or tf32 or bf16, got 'fp16'"});
  expect_error({"bench", "--precision", "tf32", "--device", "cpu"}, 1, {"precision tf32", "8.0", "CPU", "fp32"});
  expect_error({"sample", "small.toml", "--device", "cpu"}, 1, {"small.toml"});
  expect_error({"sample", ".", "--device", "cpu"}, 1, {"no checkpoints"});
}

TEST_F(Cli, DeviceThatIsMissing) {
  std::string why;
  Device::best(1, &why);
  if (why.empty()) GTEST_SKIP() << "there is a GPU";
  expect_error(Words{"train", "--device", "cuda"} + small, 1, {"--device cuda", why, "--device cpu"});
  expect_error({"selftest", "--device", "cuda"}, 1, {"--device cuda", why});
  const Result result = run(Words{"train", "--device", "auto", "--steps", "2"} + small);
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.err, "ganforge: using the CPU: " + why + "\n");
}

TEST_F(Cli, TrainsOnTheGpu) {
  std::string why;
  Device::best(1, &why);
  const char* required = std::getenv("GANFORGE_REQUIRE_CUDA");
  ASSERT_TRUE(why.empty() || !required || std::string(required) != "1") << why;
  if (!why.empty()) GTEST_SKIP() << why;
  train(small);
  const Result result = run(Words{"train", "--device", "cuda", "--out", "gpu"} + small);
  ASSERT_EQ(result.code, 0) << result.err;
  const std::vector<json> cpu = metrics(run0), gpu = metrics("gpu/00000-small-images-idx3-ubyte");
  ASSERT_EQ(cpu.size(), gpu.size());
  for (std::size_t i = 0; i < cpu.size(); ++i) {
    EXPECT_EQ(cpu[i]["step"], gpu[i]["step"]);
    for (const char* key : {"d_loss", "g_loss"})
      EXPECT_NEAR(cpu[i][key].get<double>(), gpu[i][key].get<double>(), 1e-3 * cpu[i][key].get<double>());
  }
  EXPECT_EQ(names_in(path("gpu/00000-small-images-idx3-ubyte/samples")).size(), 3u);
  const std::string step = run(Words{"train", "--device", "cuda", "--precision", "tf32", "--dry-run"} + small).out;
  for (const char* part : {"floor, µs", "Floor on ", " TB/s, products in tf32 ", " TFLOP/s", " launches of ", " µs  in all"})
    EXPECT_NE(step.find(part), std::string::npos) << part << "\n" << step;

  const json bench = json::parse(run({"bench", "--device", "cuda", "--batch", "16", "--steps", "3", "--json"}).out);
  EXPECT_TRUE(bench["threads"].is_null());
  EXPECT_LE(bench["launches_per_step"], 32);
  for (const Words& what : {Words{"linear_weight_grad"},
                            {"draws"},
                            {"linear tanh", "--precision", "tf32"},
                            {"training seed-dense", "--precision", "bf16"}}) {
    const Result selftest = run(Words{"selftest", "--device", "cuda", "--filter"} + what);
    EXPECT_EQ(selftest.code, 0) << selftest.out << selftest.err;
    EXPECT_EQ(selftest.out.find("no GPU"), std::string::npos);
    EXPECT_NE(selftest.out.find("checks passed"), std::string::npos) << selftest.out;
  }
}

TEST_F(Cli, SelftestOfTheCpu) {
  for (const char* filter : {"adam", "draws", "training seed-dense"}) {
    const Result result = run({"selftest", "--device", "cpu", "--threads", "2", "--filter", filter});
    EXPECT_EQ(result.code, 0) << result.out << result.err;
    EXPECT_TRUE(result.out.starts_with("no GPU is tested, the CPU alone\ntesting CPU, 2 threads")) << result.out;
    EXPECT_NE(result.out.find("checks passed"), std::string::npos) << result.out;
  }
  expect_error({"selftest", "--device", "cpu", "--filter", "quux"}, 2, {"--filter", "'quux'"});
  expect_error({"selftest", "--device", "cpu", "--precision", "tf32"}, 1, {"tf32"});
}

TEST_F(Cli, HelpBeginsWithExamplesAndShowsDefaults) {
  const Result overview = run({"--help"});
  EXPECT_EQ(overview.code, 0);
  for (const char* name : {"train", "sample", "info", "bench", "selftest"}) {
    EXPECT_NE(overview.out.find(name), std::string::npos);
    const Result help = run({name, "--help"});
    EXPECT_EQ(help.code, 0);
    EXPECT_EQ(help.err, "");
    EXPECT_LT(help.out.find("Examples"), help.out.find("  --"));
  }
  const std::string text = run({"train", "-h"}).out;
  for (const char* flag :
       {"--preset",      "--config",   "--data",    "--steps",     "--epochs", "--batch",        "--seed",
        "--lr-g",        "--lr-d",     "--device",  "--out",       "--resume", "--sample-every", "--checkpoint-every",
        "--threads",     "--progress", "--dry-run", "--objective", "--conv",   "--tune",         "default 64",
        "default 0.0002", "--precision", "--data-memory", "--on-nan"})
    EXPECT_NE(text.find(flag), std::string::npos) << flag;
  EXPECT_NE(run({"--version"}).out.find(GANFORGE_VERSION), std::string::npos);
}

TEST_F(Cli, InfoPrintsPresetsThatRoundTrip) {
  const std::string info = run({"info"}).out;
  for (const std::string& name : preset_names()) {
    EXPECT_NE(info.find(name), std::string::npos);
    const Result printed = run({"info", "--preset", name});
    EXPECT_EQ(printed.code, 0);
    EXPECT_EQ(to_toml(parse_config(printed.out, "printed")), printed.out);
    EXPECT_EQ(printed.out, to_toml(preset(name)));
  }
}

TEST_F(Cli, RunFolderHoldsWhatItShould) {
  train(small + Words{"--seed", "5"});
  EXPECT_EQ(names_in(path("runs")), Words{fs::path(run0).filename().string()});
  EXPECT_EQ(names_in(path(run0)),
            (Words{"checkpoints", "config.toml", "losses.svg", "metrics.jsonl", "run.json", "samples"}));
  EXPECT_EQ(names_in(path(run0) / "samples"), (Words{"step-000000.png", "step-000010.png", "step-000020.png"}));
  EXPECT_EQ(names_in(path(run0) / "checkpoints"),
            (Words{"step-000010.safetensors", "step-000015.safetensors", "step-000020.safetensors"}));

  const std::vector<json> rows = metrics(run0);
  ASSERT_EQ(rows.size(), 10u);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i]["step"], 2 * (i + 1));
    EXPECT_EQ(rows[i]["images"], 16 * (i + 1));
    for (const char* key : {"d_loss", "g_loss", "d_real", "d_fake", "d_accuracy", "penalty", "images_per_s", "seconds"})
      EXPECT_TRUE(rows[i][key].is_number()) << key;
    EXPECT_EQ(rows[i].size(), 10u);
  }
  const json record = json::parse(slurp(path(run0) / "run.json"));
  EXPECT_EQ(record["seed"], 5);
  EXPECT_EQ(record["device"], "CPU");
  EXPECT_EQ(record["ganforge"], GANFORGE_VERSION);

  // The configuration is complete: it repeats the run, from anywhere.
  const std::string config = slurp(path(run0) / "config.toml");
  EXPECT_EQ(to_toml(parse_config(config, "config.toml")), config);
  train({"--config", run0 + "/config.toml", "--out", "again"});
  const std::string again = "again/00000-config-images-idx3-ubyte";
  EXPECT_EQ(slurp(path(again) / "config.toml"), config);
  EXPECT_EQ(slurp(path(again) / "samples/step-000020.png"), slurp(path(run0) / "samples/step-000020.png"));

  train(small);
  EXPECT_TRUE(fs::exists(path("runs/00001-small-images-idx3-ubyte/losses.svg")));
}

TEST_F(Cli, EpochsAndDefaultNames) {
  train({"--data", "images-idx3-ubyte", "--epochs", "1", "--batch", "200", "--sample-every", "0", "--checkpoint-every",
         "0"});
  const fs::path run = path("runs/00000-dcgan-28-images-idx3-ubyte");
  EXPECT_EQ(names_in(run / "checkpoints"), Words{"step-000002.safetensors"});  // ⌈256/200⌉
  EXPECT_EQ(names_in(run / "samples"), Words{});
}

TEST_F(Cli, DryRunWritesNothing) {
  const Result result = run(train_words + Words{"--dry-run"} + small);
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.err, "");
  for (const char* part :
       {"generator", "discriminator", "[N, 28, 28, 1]", " kernels, 0 copies", "Copies", "arena", "adam"})
    EXPECT_NE(result.out.find(part), std::string::npos) << part << "\n" << result.out;
  EXPECT_EQ(result.out.find("loor"), std::string::npos);  // of a GPU's time
  EXPECT_FALSE(fs::exists(path("runs")));
}

TEST_F(Cli, BenchPrintsOneObject) {
  const Result result = run({"bench", "--device", "cpu", "--threads", "2", "--batch", "16", "--steps", "40", "--json"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(std::ranges::count(result.out, '\n'), 1);
  const json object = json::parse(result.out);
  EXPECT_EQ(object["preset"], "seed-dense");
  EXPECT_EQ(object["device"], "CPU");
  EXPECT_EQ(object["batch"], 16);
  EXPECT_EQ(object["threads"], 2);
  EXPECT_EQ(object["steps"], 40);
  EXPECT_GT(object["ms_per_step_min"], 0);
  EXPECT_GE(object["ms_per_step_median"], object["ms_per_step_min"]);
  EXPECT_GT(object["images_per_s"], 0);
  EXPECT_GT(object["launches_per_step"], 0);
  EXPECT_TRUE(object["page_faults_per_step"].is_number());
  if (object["allocations_per_step"].is_number()) {
    EXPECT_EQ(object["allocations_per_step"], 0);
  }
}

TEST_F(Cli, MixtureIsTrainedAndMeasured) {
  const Words toy = {"--preset", "toy-2d", "--steps", "4", "--batch", "16"};
  train(toy + Words{"--data", "grid25", "--r1", "0.5", "--gp", "2", "--d-steps", "2"});
  const std::string folder = "runs/00000-toy-2d-grid25";
  const std::string config = slurp(path(folder) / "config.toml");
  EXPECT_NE(config.find("[[penalty]]\ntype = \"r1\"\nweight = 0.5\n"), std::string::npos) << config;
  EXPECT_NE(config.find("[[penalty]]\ntype = \"gp\"\nweight = 2.0\n"), std::string::npos) << config;
  EXPECT_NE(config.find("d_steps = 2"), std::string::npos);
  EXPECT_TRUE(slurp(path(folder) / "samples/step-000004.png").starts_with("\x89PNG"));

  const Result text = run({"eval", folder, "--device", "cpu"});
  ASSERT_EQ(text.code, 0) << text.err;
  EXPECT_NE(text.out.find("modes"), std::string::npos);
  EXPECT_NE(text.out.find("/25"), std::string::npos) << text.out;
  const json a = json::parse(run({"eval", folder, "--device", "cpu", "--n", "1000", "--seed", "5", "--json"}).out);
  EXPECT_EQ(a["data"], "grid25");
  EXPECT_EQ(a["step"], 4);
  EXPECT_EQ(a["n"], 1000);
  EXPECT_EQ(a["seed"], 5);
  EXPECT_GE(a["modes"], 0);
  EXPECT_GT(a["reverse_kl"], 0.1);  // four steps are not enough
  EXPECT_EQ(a["real"]["modes"], 25);
  EXPECT_NEAR(a["real"]["high_quality"].get<double>(), 0.989, 0.02);
  EXPECT_NEAR(a["real"]["sigma_ratio"].get<double>(), 1, 0.05);

  const Result sample = run({"sample", folder, "--device", "cpu", "--out", "x.png"});
  EXPECT_EQ(sample.code, 0) << sample.err;
  train(small);
  const Result image_run = run({"eval", "runs/00001-small-images-idx3-ubyte", "--device", "cpu"});
  EXPECT_EQ(image_run.code, 1);
  EXPECT_NE(image_run.err.find("eval measures models of ring8 and grid25"), std::string::npos) << image_run.err;
  EXPECT_EQ(run({"data", "inspect", "ring8"}).code, 1);
}

}  // namespace
}  // namespace ganforge::test
