// ganforge train-classifier: the classifier whose features `eval` compares.
#include "src/cli/classifier_file.h"
#include "src/cli/commands.h"
#include "src/cli/load_data.h"
#include "src/cli/open_device.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdio>
#include <limits>
#include <memory>

namespace ganforge {
namespace {

struct ClassifierArguments {
  std::optional<std::string> data, out, extra;
  std::optional<std::int64_t> steps, epochs, seed, limit;
  bool skip_bad = false, json = false;
  DeviceArguments device;
};

int train(const ClassifierArguments& a) {
  if (a.steps && a.epochs) throw UsageError("--steps and --epochs are both given; one of them says how long to train");
  std::vector<std::string> notices;
  ClassifierTraining training;
  training.seed = static_cast<std::uint64_t>(a.seed.value_or(1));
  DatasetOptions options{.skip_bad = a.skip_bad, .progress = decoding_progress()};
  DataParts data = data_parts(*a.data, options);
  for (const std::string& note : data.test.notes) notices.push_back(fmt::format("{}: {}", data.test.name, note));
  if (a.limit) data.train = draw_subset(data.train, *a.limit, training.seed);
  const std::int64_t real = data.train.count;
  if (a.extra) {
    options.height = data.train.sample[0];
    options.width = data.train.sample[1];
    options.channels = data.train.sample[2];
    data.train = joined(data.train, find_dataset(*a.extra, options));
  }
  training.steps = a.steps.value_or(0);
  if (a.epochs) {
    const std::int64_t batch = std::min(ClassifierOptions{}.batch, data.train.count);
    training.steps = (*a.epochs * data.train.count + batch - 1) / batch;
  }
  Device device = open_device(a.device, notices);
  print_notices(notices);
  if (!a.json) {
    fmt::print("{}: {} training images {}{}, {} classes, on {}\n", data.train.name, data.train.count,
               data.train.sample.str(),
               a.extra ? fmt::format(", {} of them from {}", data.train.count - real, *a.extra) : "",
               data.train.classes.size(), device.name());
    training.progress = [](std::int64_t step, std::int64_t steps, float loss, float accuracy) {
      fmt::print("step {}/{}  loss {:.3f}  accuracy {:.3f}\n", step, steps, loss, accuracy);
      std::fflush(stdout);
    };
  }
  const auto begin = std::chrono::steady_clock::now();
  Classifier classifier = train_classifier(device, data, training);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  // One of fewer or of other images is not what `eval` shall find.
  std::string file;
  if (a.out || (!a.limit && !a.extra)) file = a.out ? *a.out : cached_classifier(data).string();
  const double accuracy =
      file.empty() ? classifier.accuracy(data.test) : save_classifier(classifier, file, data, training);
  if (a.json) {
    nlohmann::ordered_json result = {{"data", data.train.name},
                                     {"accuracy", accuracy},
                                     {"train_images", data.train.count},
                                     {"real_images", real},
                                     {"test_images", data.test.count},
                                     {"parameters", classifier.parameter_count()},
                                     {"seed", training.seed},
                                     {"seconds", seconds},
                                     {"file", nullptr}};
    if (!file.empty()) result["file"] = file;
    fmt::print("{}\n", result.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    return 0;
  }
  fmt::print("{:.2f} % of {} {} right, {} parameters, {:.0f} s\n", 100 * accuracy, data.test.count,
             data.own_test ? "test images" : "images that were left out", classifier.parameter_count(), seconds);
  if (!file.empty()) fmt::print("  classifier  {}\n", file);
  return 0;
}

}  // namespace

Command train_classifier_command() {
  const auto a = std::make_shared<ClassifierArguments>();
  Command command;
  command.name = "train-classifier";
  command.summary = "trains a small classifier, whose features `eval` compares, on images with labels";
  command.examples =
      "  ganforge train-classifier fashion-mnist\n"
      "  ganforge train-classifier photos-64.gfd --epochs 20 --out photos.safetensors\n"
      "  ganforge train-classifier fashion-mnist --limit 500 --extra more.npz    does it help to add these images?\n";
  command.positionals = {{"DATA",
                          "fashion-mnist, mnist, cifar-10, a folder of images in sub-folders, IDX, CIFAR-10 or .gfd",
                          set_text(a->data)}};
  command.groups = {
      {"How",
       {{"--epochs", "N", fmt::format("passes over the training images (default {})", classifier_epochs),
         set_whole(a->epochs, 1, 1'000'000)},
        {"--steps", "N", fmt::format("the same in steps of {} images", ClassifierOptions{}.batch),
         set_whole(a->steps, 1, 1'000'000'000)},
        {"--limit", "N", "learns from N of the training images, which the seed picks (default: all)",
         set_whole(a->limit, 2, 1'000'000'000)},
        {"--extra", "PATH", "learns from these images too: a folder with the classes as sub-folders, .npz or .gfd",
         set_text(a->extra)},
        {"--skip-bad", "", "leaves out images of a folder that cannot be read", set_true(a->skip_bad)},
        {"--seed", "N", "of weights, dropout and the order of the data (default 1)",
         set_whole(a->seed, 0, std::numeric_limits<std::int64_t>::max())}}},
      {"What to write",
       {{"--out", "FILE", "the classifier (default: where `eval` looks for it; none with --limit or --extra)",
         set_text(a->out)},
        {"--json", "", "prints one JSON object", set_true(a->json)}}},
      device_flags(a->device)};
  command.run = [a](const std::vector<std::string>&) { return train(*a); };
  return command;
}

}  // namespace ganforge
