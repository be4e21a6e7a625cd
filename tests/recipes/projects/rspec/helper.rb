RSpec.configure { |config| config.example_status_persistence_file_path = "statuses.txt" }
if ENV["RETRIES"]
  require "rspec/retry"
  RSpec.configure { |config| config.default_retry_count = 3 }
end
