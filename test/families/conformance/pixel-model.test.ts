import { describeFamily } from '../../support/family-conformance.js';

describeFamily('pixel-model');
