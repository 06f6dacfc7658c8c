"""What can be known inside training: statistics of weights and gradients, their autoencoder, the LSTM (NAP2)."""
