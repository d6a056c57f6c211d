"""What `rerankd.compat` is made of: constants that follow the environment, and encoders of hosts."""
